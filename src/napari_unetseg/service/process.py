"""Worker processes: the window stays alive, a cancelled job ends at once, its memory is given back.

`Worker` starts a fresh Python (not a fork, not `multiprocessing`'s spawn, which runs the user's script again) and
keeps it for the next job, because importing torch takes seconds. The two talk over a local socket. When the socket
closes, because a job was cancelled or because the parent has died in whatever way, the child ends by itself.
"""

from __future__ import annotations

import _thread
import contextlib
import hmac
import os
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, ParamSpec, TypeVar

from napari_unetseg.core.progress import Job, finish
from napari_unetseg.errors import ResourceError, UnetsegError
from napari_unetseg.service import wire

P = ParamSpec("P")
Result = TypeVar("Result")

CHILD = "from napari_unetseg.service.process import main; main()"
GRACE = 1.0
"""Seconds in which a child that is told to end may tidy up (temporary files); then it is ended."""
TOKEN_BYTES = 32


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
    """A child process that runs one job after another.

    Examples
    --------
    >>> worker = Worker()
    >>> job = worker.run(api.iter_segment, volume, "nuclei-3d", settings)  # doctest: +SKIP
    >>> segmentation = finish(job, on_progress=print)  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, or None where there is no child."""
        return self._child.process.pid if self._child else None

    def run(self, target: Callable[P, Job[Result]], *args: P.args, **kwargs: P.kwargs) -> Job[Result]:
        """Run a generator function in the child: yields what it yields, returns what it returns.

        The child is there when this returns; the job begins with the first ``next``, in its turn: where two threads
        run jobs, the second one waits.

        Parameters
        ----------
        target : generator function
            Importable by its module and name. Arguments, records and result must be picklable.

        Raises
        ------
        UnetsegError
            Whatever the job raised of this kind.
        ResourceError
            If the system ended the child, or it ran out of memory.
        ChildError
            For every other error in the child.
        CancelledError
            If `stop` was called meanwhile. Closing the generator stops the child as well.
        """
        if self._child is None or self._child.process.poll() is not None:
            self._child = _Child()
        return self._relay(self._child, (target, args, kwargs))

    def _relay(self, child: _Child, job: object) -> Job[Any]:
        try:
            with child.turn:
                return (yield from child.answers(job))
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

    def __init__(self) -> None:
        self.stopped = False
        self.turn = threading.Lock()
        self._token = secrets.token_bytes(TOKEN_BYTES)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._connection: socket.socket | None = None
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", CHILD],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, text=True,
        )  # fmt: skip

    def answers(self, job: object) -> Job[Any]:
        """Send a job and yield its records; returns its result, raises its error."""
        connection = self._connected()
        wire.send(connection, job)
        while True:
            kind, value = wire.loads(wire.receive(connection))
            if kind == "result":
                return value
            if kind == "error":
                raise value
            yield value

    def _connected(self) -> socket.socket:
        """The connection; the first call waits until the child has come up and shown our token."""
        if self._connection is None:
            with self._server:
                self._tell_where()
                self._connection = self._accept()
        return self._connection

    def _tell_where(self) -> None:
        assert self.process.stdin is not None  # noqa: S101 - for the type checker: it was opened as a pipe
        with self.process.stdin as stdin:
            stdin.write(f"{self._server.getsockname()[1]} {self._token.hex()}\n")

    def _accept(self) -> socket.socket:
        self._server.settimeout(0.1)
        while self.process.poll() is None:
            with contextlib.suppress(TimeoutError):
                connection, _ = self._server.accept()
                connection.settimeout(GRACE)
                if self._is_ours(connection):
                    connection.settimeout(None)
                    return connection
                connection.close()
        raise EOFError("the child ended before it came up")

    def _is_ours(self, connection: socket.socket) -> bool:
        try:
            return hmac.compare_digest(wire.read(connection, TOKEN_BYTES), self._token)
        except (OSError, EOFError):
            return False

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
        if code is not None and code < 0:
            return ResourceError(
                f"The computing process was ended by the system ({signal.Signals(-code).name}), probably for lack of "
                "memory: close other programs, or take a smaller part of the image or a lower resolution."
            )
        return ChildError(f"The computing process ended by itself (exit code {code}).")


def main() -> None:
    """Be the child: read from standard input where the parent listens, and run its jobs until it goes away."""
    port, token = sys.stdin.readline().split()
    connection = socket.create_connection(("127.0.0.1", int(port)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(bytes.fromhex(token))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an exit tidies up, the system's default would not
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the parent's to handle
    _step_back()
    jobs: queue.SimpleQueue[wire.Parts | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, jobs), daemon=True).start()
    while (parts := jobs.get()) is not None:
        with contextlib.suppress(OSError):  # the parent has gone: `_listen` ends us
            _run(connection, parts)


def _step_back() -> None:
    """Let the window have the processor first; the job takes what is left."""
    if os.name == "nt":
        import psutil

        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
    else:
        os.nice(5)


def _listen(connection: socket.socket, jobs: queue.SimpleQueue[wire.Parts | None]) -> None:
    """Queue jobs as they come; when the parent is gone, end this process, whatever it is doing."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            jobs.put(wire.receive(connection))
    jobs.put(None)
    _thread.interrupt_main(signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _run(connection: socket.socket, parts: wire.Parts) -> None:
    try:
        target, args, kwargs = wire.loads(parts)
        result = finish(target(*args, **kwargs), lambda record: wire.send(connection, ("record", record)))
        wire.send(connection, ("result", result))
    except UnetsegError as error:
        wire.send(connection, ("error", error))
    except MemoryError:
        advice = ResourceError("Not enough memory: take a smaller part of the image or a lower resolution.")
        wire.send(connection, ("error", advice))
    except Exception as error:
        fault = ChildError(f"{type(error).__name__}: {error}", traceback.format_exc())
        wire.send(connection, ("error", fault))
