"""Layers: snapshots for jobs, axes, what is in view, reading and writing."""
