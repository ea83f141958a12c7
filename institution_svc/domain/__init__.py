"""What holds for facilities, whatever keeps or serves them."""
