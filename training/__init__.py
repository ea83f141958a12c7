"""What draws cards and makes the weights of the card reader. Not in any run-time."""
