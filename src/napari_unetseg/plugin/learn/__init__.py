"""The *Learn* widget."""
