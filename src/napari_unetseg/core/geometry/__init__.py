"""Geometry: tiles, resampling, common grids and label arrays."""
