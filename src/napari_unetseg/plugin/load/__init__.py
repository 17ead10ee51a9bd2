"""The *Load volume* widget."""
