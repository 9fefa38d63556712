"""A token, judged: what it must be, who signed it, and when it stops counting."""
