"""Annotating: painted layers, their classes, and how paint is kept."""
