"""Figures per structure, in physical units, each checked against another implementation."""
