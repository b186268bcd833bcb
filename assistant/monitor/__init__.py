"""The sentiment monitor: which topic is turning customers sour, since when, how sure, and who is told."""
