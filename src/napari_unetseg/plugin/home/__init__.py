"""The *Home* widget."""
