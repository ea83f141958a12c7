"""Tests of registrations, from the photo of a card to the ticket."""
