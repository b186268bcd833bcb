"""Readers of the file formats that support logs come in, one family per file."""
