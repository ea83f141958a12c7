"""The distributions as they are installed elsewhere: from wheels, each with what it declares."""
