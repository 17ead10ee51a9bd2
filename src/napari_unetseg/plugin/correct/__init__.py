"""The *Correct* widget."""
