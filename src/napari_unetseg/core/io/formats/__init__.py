"""Formats, a file each. A format's library is imported when a file of it is opened."""
