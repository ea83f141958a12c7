"""Registration with a card photo: draft, correction, confirmation."""
