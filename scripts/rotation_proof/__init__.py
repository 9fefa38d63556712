"""What `python -m scripts.check_rotation` is made of."""
