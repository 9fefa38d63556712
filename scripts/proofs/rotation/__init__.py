"""What `python -m scripts.proofs.rotation` is made of."""
