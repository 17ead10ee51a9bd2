"""Volumes, formats, tiles, metrics and post-processing, in numpy. Knows neither torch nor Qt."""
