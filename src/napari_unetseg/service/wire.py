"""Messages between two processes of ours, over a socket; arrays travel as they are, never copied into a pickle."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

import numpy as np

PIECE = 8 * 1024**2
"""Bytes handed over at a time: one call never holds the interpreter for long, and no system refuses the length."""

Parts = list[memoryview]
"""A value taken apart: its pickle, then the memory of each array (pickle protocol 5, PEP 574)."""


def send(connection: socket.socket, value: object) -> None:
    """Send any value that can be pickled; C- and F-contiguous arrays are sent from where they lie.

    Raises
    ------
    OSError
        If the other side has gone.
    """
    buffers: Parts = []
    head = pickle.dumps(value, protocol=5, buffer_callback=lambda buffer: buffers.append(buffer.raw()))
    parts = [memoryview(head), *buffers]
    connection.sendall(struct.pack(f"<Q{len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        for start in range(0, part.nbytes, PIECE):
            connection.sendall(part[start : start + PIECE])


def receive(connection: socket.socket) -> Parts:
    """Wait for one value and return it still taken apart, see `loads`; raises `EOFError` if the other side has gone."""
    (count,) = struct.unpack("<Q", read(connection, 8))
    lengths = struct.unpack(f"<{count}Q", read(connection, 8 * count))
    return [read(connection, length) for length in lengths]


def loads(parts: Parts) -> Any:
    """Put a value together; its arrays are writable. Only for what a process of our own has sent."""
    head, *buffers = parts
    return pickle.loads(head, buffers=buffers)  # noqa: S301 - the sender has shown our token


def read(connection: socket.socket, length: int) -> memoryview:
    """Exactly so many bytes; raises `EOFError` if the other side goes before."""
    view = memoryview(np.empty(length, np.uint8))  # type: ignore[arg-type] # not a bytearray: that would be zeroed
    done = 0
    while done < length:
        got = connection.recv_into(view[done : done + PIECE])
        if got == 0:
            raise EOFError("the other side has gone")
        done += got
    return view
