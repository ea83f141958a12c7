"""The fields of a card: their types, their values, and the words that stand in them."""
