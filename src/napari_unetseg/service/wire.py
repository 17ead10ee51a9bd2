"""Frames over a socket: a mark, a small head that says what comes, and then the parts of one message."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_unetseg.service.messages import MessageError

MARK = b"unetseg1"
PREFIX = struct.Struct(f"<{len(MARK)}sI")
PIECE = 8 * 1024**2
"""Bytes handed over at a time: one call never holds the interpreter for long, and no system refuses the length."""
LONGEST_HEAD = 2**20
LONGEST_BODY = 2**30
MOST_PARTS = 4096

Kind = Literal["call", "record", "warning", "result", "error"]


class Header(BaseModel):
    """What a frame holds.

    Parameters
    ----------
    verb : str
        Of a call: what to do; else empty.
    lengths : tuple of int
        Bytes of each part: the JSON body first, then the arrays.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    verb: str = Field(default="", max_length=200)
    lengths: tuple[Annotated[int, Field(ge=0, lt=2**48)], ...] = Field(min_length=1, max_length=MOST_PARTS)


class Frame:
    """One message as it came, not looked into yet."""

    def __init__(self, head: Header, parts: Sequence[memoryview]) -> None:
        self.kind, self.verb = head.kind, head.verb
        self.body, self.arrays = parts[0], parts[1:]


def send(connection: socket.socket, kind: Kind, body: bytes, arrays: Sequence[memoryview] = (), verb: str = "") -> None:
    """Send one message; arrays are sent from where they lie.

    Raises
    ------
    OSError
        If the other side has gone.
    """
    parts = [memoryview(body), *arrays]
    head = Header(kind=kind, verb=verb, lengths=tuple(part.nbytes for part in parts)).model_dump_json().encode()
    connection.sendall(PREFIX.pack(MARK, len(head)) + head)
    for part in parts:
        for start in range(0, part.nbytes, PIECE):
            connection.sendall(part[start : start + PIECE])


def receive(connection: socket.socket) -> Frame:
    """Wait for one message.

    Raises
    ------
    EOFError, OSError
        If the other side has gone.
    MessageError
        If what comes is none; where the next one would begin is not known then.
    """
    mark, length = PREFIX.unpack(read(connection, PREFIX.size))
    if mark != MARK or length > LONGEST_HEAD:
        raise MessageError("Expected a message of this program; got something else.")
    try:
        head = Header.model_validate_json(bytes(read(connection, length)))
    except ValidationError as error:
        raise MessageError(f"Expected the head of a message; {error.errors()[0]['msg']}.") from None
    if head.lengths[0] > LONGEST_BODY:
        raise MessageError(f"Expected at most {LONGEST_BODY} bytes of JSON; got {head.lengths[0]}.")
    try:
        return Frame(head, [read(connection, length) for length in head.lengths])
    except MemoryError:
        raise MessageError(f"A message of {sum(head.lengths)} bytes does not fit into memory.") from None


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
