"""The C library's allocator: what a process that computes does with what it has freed. For glibc alone."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = 2**25
"""Bytes: a freed block of up to so many is kept for the next one, and so many at the end of the heap."""


def reuse_freed_memory() -> None:
    """Let this process keep the memory of large arrays that it frees, until `give_back`.

    By itself glibc returns each to the system and asks for it anew, and the system fills every page with zeros first:
    features of a slice of 1024 × 1024 pixels took twice as long by that. For processes of our own, which say when they
    rest; a program that calls the library decides for itself.
    """
    mallopt = getattr(_c_library(), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def give_back() -> None:
    """Give the system back what is kept of freed memory."""
    trim = getattr(_c_library(), "malloc_trim", None)
    if trim is not None:
        trim(0)


@lru_cache
def _c_library() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if sys.platform == "linux" else None
