"""What holds for accounts, passwords and patients, whatever keeps or serves them."""
