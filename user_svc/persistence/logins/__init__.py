"""What logins and sessions leave in the database."""
