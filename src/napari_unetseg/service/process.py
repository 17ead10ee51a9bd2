"""Worker processes: the window stays alive, a cancelled job ends at once, its memory is given back.

`Worker` starts a fresh Python (not a fork, not `multiprocessing`'s spawn, which runs the user's script again) and
keeps it for the next job, because importing torch takes seconds. The two talk over a local socket, in the messages of
`service.verbs`: jobs go by name, and nothing that arrives is trusted before its schema has been checked. When the
socket closes, because a job was cancelled or because the parent has died in whatever way, the child ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from inspect import signature
from typing import Any, ParamSpec, TextIO, TypeVar, cast

from pydantic import TypeAdapter

from napari_unetseg.core.progress import Job, describe_ending, is_crash
from napari_unetseg.errors import ResourceError
from napari_unetseg.service import verbs, wire
from napari_unetseg.service.handshake import MOST_PENDING, TOKEN_BYTES, Doorkeeper
from napari_unetseg.service.messages import MENDABLE, ErrorMessage, MessageError, decode, encode, schema_of

P = ParamSpec("P")
Result = TypeVar("Result")

CHILD = "from napari_unetseg.service.worker_process import main; main()"
GRACE = 1.0
"""Seconds in which a child that is told to end may tidy up (temporary files); then it is ended."""
COMES_UP_WITHIN = 60.0
"""Seconds from the first job until the child has come up and shown its token, on the slowest disk."""
ERROR = TypeAdapter(ErrorMessage)
TEXT = schema_of(str)


class ChildError(Exception):
    """A fault of ours inside the child.

    Parameters
    ----------
    summary : str
        One line, for people.
    details : str
        The child's traceback, as text: tracebacks themselves cannot be sent.
    """

    def __init__(self, summary: str, details: str = "") -> None:
        super().__init__(summary, details)
        self.summary, self.details = summary, details

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.summary, self.details)))


class Worker:
    """The executor with a process of its own, which runs one job after another; see `api.executors.Executor`.

    Parameters
    ----------
    environment : mapping, optional
        Variables of the environment that the process gets beside ours.

    Examples
    --------
    >>> worker = Worker()
    >>> job = worker.run(jobs.segment, volume, "nuclei-3d", settings)  # doctest: +SKIP
    >>> segmentation = finish(job, on_progress=print)  # doctest: +SKIP
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or {}
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None where there is no child."""
        return self._child.process.pid if self._child else None

    def run(self, verb: Callable[P, Job[Result]], *args: P.args, **kwargs: P.kwargs) -> Job[Result]:
        """Run a verb in the child: yields what it yields, warns of what it warns of, returns what it returns.

        The child is there when this returns; the job begins with the first ``next``, in its turn: where two threads
        run jobs, the second one waits.

        Parameters
        ----------
        verb : generator function
            One that has a name in `service.verbs`: what is sent is the name, and the arguments as a checked message.

        Raises
        ------
        UnetsegError
            Whatever the job raised of this kind.
        ResourceError
            If the system ended the child, or it ran out of memory.
        ChildError
            For every other error in the child, if it crashed, and if it sends what is no message.
        MessageError
            If the function is no verb.
        CancelledError
            If `stop` was called meanwhile. Closing the generator stops the child as well.
        """
        named = verbs.verb_of(verb)
        arguments = signature(verb).bind(*args, **kwargs)
        arguments.apply_defaults()
        if self._child is None or self._child.process.poll() is not None:
            self._child = _Child(self._environment)
        return self._relay(self._child, named, arguments.arguments)

    def _relay(self, child: _Child, verb: verbs.Verb, arguments: Mapping[str, Any]) -> Job[Any]:
        try:
            with child.turn:
                return (yield from child.answers(verb, arguments))
        except MessageError as error:
            child.end()
            raise ChildError(f"The computing process sent what is no message: {error}") from None
        except (OSError, EOFError):
            raise child.ending() from None
        except GeneratorExit:
            child.end()
            raise

    def stop(self) -> None:
        """End the child and its job; from any thread, without waiting. The next `run` starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """The parent's side of one child process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.stopped = False
        self.turn = threading.Lock()
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._server = socket.create_server(("127.0.0.1", 0), backlog=MOST_PENDING)
        self._connection: socket.socket | None = None
        path = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
            env={**os.environ, **environment, "PYTHONPATH": path},
        )  # fmt: skip

    def answers(self, verb: verbs.Verb, arguments: Mapping[str, Any]) -> Job[Any]:
        """Ask for a verb and yield its records; returns its result, raises its error."""
        connection = self._connected()
        wire.send(connection, "call", *encode(arguments), verb=verb.name)
        while True:
            frame = wire.receive(connection)
            if frame.kind == "record":
                yield decode(verb.record, frame.body, frame.arrays)
            elif frame.kind == "warning":
                warnings.warn(decode(TEXT, frame.body, frame.arrays), stacklevel=2)
            elif frame.kind == "result":
                return decode(verb.result, frame.body, frame.arrays)
            elif frame.kind == "error":
                raise failure(decode(ERROR, frame.body, frame.arrays))
            else:
                raise MessageError(f"expected an answer; got a {frame.kind}")

    def _connected(self) -> socket.socket:
        """The connection; the first call waits until the child has come up and shown our token."""
        if self._connection is None:
            with self._server:
                self._tell_where()
                door = Doorkeeper(self._server, self._token)
                self._connection = door.admit(COMES_UP_WITHIN, lambda: self.process.poll() is None)
        return self._connection

    def _tell_where(self) -> None:
        where = {"port": self._server.getsockname()[1], "token": self._token.hex(), "verbs": verbs.added()}
        with cast("TextIO", self.process.stdin) as stdin:  # it was opened as a pipe
            stdin.write(json.dumps(where) + "\n")

    def end(self) -> None:
        """Close the connection, on which the child ends by itself; see to it in the background."""
        self.stopped = True
        if self._connection is None:
            self.process.kill()
        else:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        threading.Thread(target=self._bury, daemon=True).start()

    def _bury(self) -> None:
        try:
            self.process.wait(1.5 * GRACE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def ending(self) -> Exception:
        """Why the connection was lost."""
        if self._connection is not None:
            self._connection.close()
        if self.stopped:
            return CancelledError("The job was cancelled.")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2 * GRACE)
        code = self.process.poll()
        if code is None:
            self.process.kill()
            return ChildError("The computing process does not answer.")
        told = f"The computing process {describe_ending(code)}."
        return ResourceError(told) if code < 0 and not is_crash(code) else ChildError(told)


def failure(message: ErrorMessage) -> Exception:
    """The exception that a job ended with, of the class that it was raised as; every other one is a `ChildError`."""
    if message.kind in MENDABLE:
        return MENDABLE[message.kind](message.text)
    return ChildError(message.text, message.details)
