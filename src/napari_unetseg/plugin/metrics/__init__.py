"""The *Metrics* widget."""
