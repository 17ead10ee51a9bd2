"""Failures that a user can act on.

Each message is one line that says what was expected, what came and what to do. The command line prints it and exits
with code 2; the viewer shows it as one notification. Anything else that is raised is a fault of ours.
"""

from __future__ import annotations


class UnetsegError(Exception):
    """Base of every failure that a user can mend.

    Parameters
    ----------
    message : str
        One line: what was expected, what came and what to do. Line breaks are folded to spaces.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(UnetsegError):
    """A file or array cannot be read as a volume: missing, empty, truncated, of an unknown kind, of a wrong shape."""


class ModelError(UnetsegError):
    """A model is unknown, its file is damaged, or it does not fit the volume."""


class SettingsError(UnetsegError, ValueError):
    """A setting is outside what is allowed."""


class OutputError(UnetsegError):
    """A result cannot be written: the folder is missing or read-only, the disk is full, the format is unknown."""


class ResourceError(UnetsegError):
    """The machine cannot do it: no such device, not enough memory even for the smallest tile."""
