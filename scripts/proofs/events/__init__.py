"""The proof of the events: nothing is missed, and each user receives only their own."""
