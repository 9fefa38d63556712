"""Key sets: where verification keys come from, and how they are kept up to date."""
