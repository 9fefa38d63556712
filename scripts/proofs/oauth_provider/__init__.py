"""The proof `scripts.proofs.oauth_provider`."""
