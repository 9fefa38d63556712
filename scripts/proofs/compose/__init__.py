"""The proof behind `scripts.proofs.compose`: docker-compose.yml run, used and looked into."""
