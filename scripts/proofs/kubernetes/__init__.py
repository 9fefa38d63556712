"""The proof `scripts.proofs.kubernetes`."""
