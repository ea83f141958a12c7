"""From a photo to lines of text: the networks and what prepares pictures for them."""
