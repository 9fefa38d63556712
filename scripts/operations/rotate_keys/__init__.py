"""What `rotate-keys` is made of."""
