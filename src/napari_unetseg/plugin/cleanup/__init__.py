"""The *Clean up* widget."""
