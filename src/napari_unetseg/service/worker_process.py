"""The worker process from inside: it runs the verbs that its parent names, one after another, and ends with it."""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from typing import Any

from napari_unetseg.core.allocator import give_back, reuse_freed_memory
from napari_unetseg.core.progress import Job, finish, told_warnings
from napari_unetseg.errors import UnetsegError
from napari_unetseg.service import verbs, wire
from napari_unetseg.service.messages import ErrorMessage, MessageError, decode, encode

GRACE = 1.0
"""Seconds in which it may tidy up (temporary files) when its parent has gone."""

REST = 2.0
"""Seconds without a call after which it rests."""

Calls = queue.SimpleQueue[wire.Frame | MessageError | None]


def main() -> None:
    """Read from standard input where the parent listens, and run its jobs until it goes away."""
    where = json.loads(sys.stdin.readline())
    for name, target in where["verbs"].items():
        verbs.register(name, target)
    connection = socket.create_connection(("127.0.0.1", where["port"]))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(bytes.fromhex(where["token"]))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an exit tidies up, the system's default would not
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's to handle
    _step_back()
    reuse_freed_memory()
    serve(connection)


def serve(connection: socket.socket) -> None:
    """Run what is asked for until the other side goes, or sends what is no message."""
    calls: Calls = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, calls), daemon=True).start()
    while (call := _next(calls)) is not None:
        with contextlib.suppress(OSError):  # the parent has gone: `_listen` ends us
            if isinstance(call, MessageError):
                _send_error(connection, "message", str(call))
                return
            answer(connection, call)


def _next(calls: Calls) -> wire.Frame | MessageError | None:
    """The next call; memory that the last one has freed is given back when there is none for a while."""
    try:
        return calls.get(timeout=REST)
    except queue.Empty:
        give_back()
        return calls.get()


def _step_back() -> None:
    """Let the window have the processor first; the job takes what is left."""
    if os.name == "nt":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(5)


def _listen(connection: socket.socket, calls: Calls) -> None:
    """Queue jobs as they come; when the parent is gone, end this process, whatever it is doing."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            try:
                calls.put(wire.receive(connection))
            except MessageError as error:
                calls.put(error)
                return
    calls.put(None)
    _thread.interrupt_main(signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def answer(connection: socket.socket, call: wire.Frame) -> None:
    """Run one call, and send its records, its warnings and its result, or the one error that it ended with."""
    try:
        with told_warnings(lambda text: wire.send(connection, "warning", *encode(text))):
            result = finish(_job(call), lambda record: wire.send(connection, "record", *encode(record)))
        wire.send(connection, "result", *encode(result))
    except UnetsegError as error:
        _send_error(connection, type(error).__name__, str(error))
    except MessageError as error:
        _send_error(connection, "message", f"What was asked for is no message: {error}")
    except MemoryError:
        advice = "Not enough memory: take a smaller part of the image or a lower resolution."
        _send_error(connection, "ResourceError", advice)
    except Exception as error:
        _send_error(connection, "fault", f"{type(error).__name__}: {error}", traceback.format_exc())


def _job(call: wire.Frame) -> Job[Any]:
    """The job that a call asks for, its arguments checked; nothing of it has run yet."""
    if call.kind != "call":
        raise MessageError(f"expected a call; got a {call.kind}")
    verb = verbs.verb(call.verb)
    request = decode(verb.request, call.body, call.arrays)
    job: Job[Any] = verb.function(**{name: getattr(request, name) for name in type(request).model_fields})
    return job


def _send_error(connection: socket.socket, kind: str, text: str, details: str = "") -> None:
    body = ErrorMessage(kind=kind, text=text, details=details).model_dump_json().encode()
    wire.send(connection, "error", body)
