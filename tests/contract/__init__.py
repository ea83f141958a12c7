"""The rules of the contracts and what is made from them."""
