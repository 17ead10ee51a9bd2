"""The handshake: who shows the token comes in at once, whoever else knocks."""

import socket
import threading
import time

import pytest

from napari_unetseg.service.handshake import MOST_PENDING, TOKEN_BYTES, Doorkeeper

TOKEN = bytes(range(TOKEN_BYTES))


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0), backlog=MOST_PENDING) as server:
        yield server


def call(server, said: bytes = b"") -> socket.socket:
    connection = socket.create_connection(server.getsockname())
    connection.sendall(said)
    return connection


def test_who_shows_the_token_comes_in_and_others_are_sent_away(server):
    wrong, silent, right = call(server, b"x" * TOKEN_BYTES), call(server), call(server, TOKEN)
    admitted = Doorkeeper(server, TOKEN).admit(10, lambda: True)
    with admitted, wrong, silent, right:
        right.sendall(b"!")
        assert admitted.recv(1) == b"!"
        for other in (wrong, silent):
            other.settimeout(5)
            assert other.recv(1) == b""


def test_a_drip_of_bytes_delays_nobody(server):
    is_over = threading.Event()

    def drip(connection) -> None:
        while not is_over.wait(0.1):
            try:
                connection.sendall(b"x")
            except OSError:
                return

    drippers = [call(server) for _ in range(MOST_PENDING - 1)]
    for connection in drippers:
        threading.Thread(target=drip, args=(connection,), daemon=True).start()
    threading.Timer(0.3, lambda: call(server, TOKEN)).start()
    began = time.monotonic()
    Doorkeeper(server, TOKEN).admit(20, lambda: True).close()
    is_over.set()
    assert time.monotonic() - began < 5
    for connection in drippers:
        connection.close()


def test_more_who_knock_than_are_listened_to_wait_outside_and_ours_comes_in_its_turn(server):
    others = [call(server) for _ in range(MOST_PENDING)]
    ours = call(server, TOKEN)
    Doorkeeper(server, TOKEN).admit(20, lambda: True).close()
    for connection in (*others, ours):
        connection.close()


def test_nobody_is_waited_for_longer_than_the_deadline(server):
    with call(server), pytest.raises(TimeoutError):
        Doorkeeper(server, TOKEN).admit(0.3, lambda: True)


def test_nobody_is_waited_for_who_has_gone(server):
    with pytest.raises(EOFError):
        Doorkeeper(server, TOKEN).admit(20, lambda: False)
