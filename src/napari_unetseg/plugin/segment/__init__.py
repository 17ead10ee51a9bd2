"""The *Segment* widget."""
