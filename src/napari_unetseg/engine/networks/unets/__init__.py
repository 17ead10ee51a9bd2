"""U-Nets, a file an architecture."""
