"""Tasks. Each belongs to one owner, and only the owner can reach it."""
