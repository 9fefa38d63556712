"""Tasks: each belongs to one owner, and nobody else can reach it."""
