"""Passages, the vector and word indexes over them, and their fusion into one ranked list."""
