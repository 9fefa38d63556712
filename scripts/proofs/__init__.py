"""Long proofs and measurements of the running system."""
