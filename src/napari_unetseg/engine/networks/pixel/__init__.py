"""Pixel classification: hand-made features, the head and the forest on them."""
