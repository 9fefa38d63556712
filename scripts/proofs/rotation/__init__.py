"""The proof `scripts.proofs.rotation`."""
