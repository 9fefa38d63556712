"""The proof `scripts.proofs.compose`."""
