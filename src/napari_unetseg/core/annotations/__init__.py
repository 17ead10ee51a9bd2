"""Annotations: sparse labels, their journal, versions and the record of a session."""
