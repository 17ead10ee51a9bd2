"""The handshake: a process that was started shows the token that it was given, and whoever else comes is sent away.

Those who connect are listened to side by side, so that one who says nothing, or a byte now and then, holds up nobody.
"""

from __future__ import annotations

import contextlib
import hmac
import selectors
import socket
import time
from collections.abc import Callable

TOKEN_BYTES = 32
SHOWN_WITHIN = 1.0
"""Seconds from a connection until its token is there."""
MOST_PENDING = 4
"""Connections that are listened to at the same time."""
PATIENCE = 0.1


class Doorkeeper:
    """Waits for the one connection that shows the token.

    Parameters
    ----------
    server : socket
        Listens; is closed by the caller.
    """

    def __init__(self, server: socket.socket, token: bytes) -> None:
        self._server, self._token = server, token
        self._said: dict[socket.socket, tuple[bytearray, float]] = {}
        self._selector = selectors.DefaultSelector()

    def admit(self, seconds: float, is_awaited: Callable[[], bool]) -> socket.socket:
        """The connection, in blocking mode; all others are closed.

        Raises
        ------
        EOFError
            If nobody is awaited any more.
        TimeoutError
            If nobody has shown the token within so many seconds.
        """
        until = time.monotonic() + seconds
        self._server.setblocking(False)
        with self._selector:
            try:
                while time.monotonic() < until:
                    if not is_awaited():
                        raise EOFError("the other side ended before it came up")
                    found = self._look()
                    if found is not None:
                        return found
            finally:
                for connection in list(self._said):
                    self._send_away(connection)
        raise TimeoutError(f"nobody has shown the token within {seconds:g} s")

    def _look(self) -> socket.socket | None:
        self._let_wait(len(self._said) < MOST_PENDING)
        for key, _ in self._selector.select(PATIENCE):
            if key.fileobj is self._server:
                self._welcome()
            elif isinstance(key.fileobj, socket.socket) and self._listen(key.fileobj):
                return key.fileobj
        now = time.monotonic()
        for connection in [each for each, (_, until) in self._said.items() if until < now]:
            self._send_away(connection)
        return None

    def _let_wait(self, is_open: bool) -> None:
        """Accept connections, or leave them in the system's own queue."""
        is_registered = self._server in self._selector.get_map()
        if is_open and not is_registered:
            self._selector.register(self._server, selectors.EVENT_READ)
        elif is_registered and not is_open:
            self._selector.unregister(self._server)

    def _welcome(self) -> None:
        with contextlib.suppress(OSError):  # gone before it was accepted
            connection, _ = self._server.accept()
            connection.setblocking(False)
            self._said[connection] = (bytearray(), time.monotonic() + SHOWN_WITHIN)
            self._selector.register(connection, selectors.EVENT_READ)

    def _listen(self, connection: socket.socket) -> bool:
        """Hear more of a token; whether it is ours."""
        said, _ = self._said[connection]
        try:
            more = connection.recv(TOKEN_BYTES - len(said))
        except BlockingIOError:
            return False
        except OSError:
            more = b""
        said += more
        if more and len(said) < TOKEN_BYTES:
            return False
        if not more or not hmac.compare_digest(bytes(said), self._token):
            self._send_away(connection)
            return False
        del self._said[connection]
        self._selector.unregister(connection)
        connection.setblocking(True)
        return True

    def _send_away(self, connection: socket.socket) -> None:
        del self._said[connection]
        self._selector.unregister(connection)
        connection.close()
