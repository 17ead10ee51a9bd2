"""Mutations of bytes, texts and JSON, the same ones for the same random numbers."""

from __future__ import annotations

import copy
import json
import math
import random
import struct
from collections.abc import Callable
from typing import Any

INTEGERS = (
    *(0, 1, -1, 2, 3, 7, 31, 127, 128, 255, 256, 999, 2999, 32767, 65535, 65536, 10**6),
    *(2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, -(2**63), 10**30),
)
FLOATS = (
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-308, 5e-324, -0.0, 0.5, 1.5, -2.5, 1e-9, 1e9, 1e20, 1e-20),
    *(3.4e38, 1e39, 16777217.0, 2147483648.0),
)
TEXTS = (
    *("", " ", "nan", "inf", "1e308", "-1", "0", "99999999999999999999", "true", "null", "a", "é", "µm", "\0", "\n"),
    *(
        "=1+1",
        "../../x",
        "/etc/passwd",
        "\x1b[31m",
        "%s%n",
        "a" * 5000,
        "2026-13-45",
        "0x10",
        "1_000",
        "<b>",
        "\U0001f600",
    ),
)
OTHERS = (None, True, False, [], {}, [[]], [0], {"a": 1}, [None] * 3, [1e308] * 3, [math.nan] * 4)
DEEP = 2000
MOST_CHANGES = 3


class Mutator:
    """Changes to valid inputs.

    Parameters
    ----------
    choose : random.Random
        Where every decision comes from.
    """

    def __init__(self, choose: random.Random) -> None:
        self.choose = choose

    def some(self) -> int:
        """How many changes to make: most often one."""
        return self.choose.choices(range(1, MOST_CHANGES + 1), (6, 2, 1))[0]

    def value(self) -> Any:
        """A value that is at the edge of something, or of another type."""
        kind = self.choose.choices((INTEGERS, FLOATS, TEXTS, OTHERS), (4, 4, 3, 2))[0]
        return copy.deepcopy(self.choose.choice(kind))

    def bytes(self, content: bytes, start: int = 0) -> bytes:
        """Content with a few changes behind its first `start` bytes."""
        changes: tuple[Callable[[bytearray, int], None], ...] = (
            self._flip, self._flip, self._number, self._number, self._cut, self._insert, self._copy, self._remove,
        )  # fmt: skip
        data = bytearray(content)
        for _ in range(self.some()):
            self.choose.choice(changes)(data, min(start, len(data)))
        return bytes(data)

    def text(self, text: str) -> str:
        """A text with one change: characters, a number in it, or a word."""
        words = text.split(" ")
        place = self.choose.randrange(len(words))
        action = self.choose.randrange(6)
        if action == 0:
            words[place] = str(self.value())
        elif action == 1:
            name, equals, _ = words[place].partition("=")
            words[place] = f"{name}{equals}{self.value()}"
        elif action == 2:
            del words[place]
        elif action == 3:
            words.insert(place, self.choose.choice(words))
        elif action == 4:
            return self.bytes(text.encode()).decode("utf-8", errors="replace")
        else:
            words[place] += self.choose.choice((",", "=", ":", "\0", "1", "e9", "e308", "-"))
        return " ".join(words)

    def json(self, value: Any) -> Any:
        """A copy of JSON with a few values replaced, removed, moved, wrapped or added."""
        holder = [copy.deepcopy(value)]
        for _ in range(self.some()):
            self._change(holder)
        return holder[0]

    def json_text(self, value: Any) -> str:
        """JSON of a mutated value; now and then it is no JSON, or a very deep one."""
        if self.choose.random() < 0.02:
            return "[" * DEEP + "]" * DEEP
        text = json.dumps(self.json(value))
        return self.bytes(text.encode()).decode("utf-8", errors="replace") if self.choose.random() < 0.1 else text

    def json_bytes(self, content: bytes) -> bytes:
        """A file of JSON with a few values changed; what is no JSON (any more) has its bytes changed."""
        try:
            text = self.json_text(json.loads(content))
        except (ValueError, RecursionError):
            return self.bytes(content)
        return text.encode("utf-8", errors="surrogatepass")

    def _change(self, holder: list[Any]) -> None:
        places = list(_places(holder))
        container, key = self.choose.choice(places[1:] or places)
        old = container[key]
        action = self.choose.randrange(10)
        if action < 4:
            container[key] = self.value()
        elif action < 6:
            container[key] = self._like(old)
        elif action == 6 and container is not holder:
            del container[key]
        elif action == 7:
            other, name = self.choose.choice(places)
            container[key] = copy.deepcopy(other[name])
        elif action == 8:
            container[key] = [old] if self.choose.random() < 0.5 else {"value": old}
        elif isinstance(container, dict):
            container[str(self.choose.choice(TEXTS))] = self.value()
        else:
            container.insert(key, copy.deepcopy(old))

    def _like(self, old: Any) -> Any:
        """Another value of the same type."""
        if isinstance(old, bool):
            return not old
        if isinstance(old, int):
            return self.choose.choice((*INTEGERS, old + 1, old - 1, -old, old * 1000, old + 0.5))
        if isinstance(old, float):
            return self.choose.choice((*FLOATS, -old, old * 1e6, old * 1e-6))
        if isinstance(old, str):
            return self.choose.choice((*TEXTS, old * 2, old[:-1], old.upper(), f"{old}\0"))
        if isinstance(old, list):
            return self.choose.choice((old * 2, old[:-1], old[::-1], [*old, *old[:1]], old * 200))
        return self.value()

    def _flip(self, data: bytearray, start: int) -> None:
        for _ in range(self.choose.randint(1, 4)):
            if len(data) > start:
                data[self.choose.randrange(start, len(data))] ^= 1 << self.choose.randrange(8)

    def _number(self, data: bytearray, start: int) -> None:
        """Overwrite some bytes by a number."""
        form = self.choose.choice(("<i", ">i", "<h", ">h", "<q", "<f", "<d", ">d", "b"))
        if form[-1] in "fd":
            number: float = self.choose.choice([f for f in FLOATS if form[-1] == "d" or not 1e38 < abs(f) < math.inf])
        else:
            bits = 8 * struct.calcsize(form)
            number = (self.choose.choice(INTEGERS) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
        packed = struct.pack(form, number)
        if len(data) >= start + len(packed):
            place = self.choose.randrange(start, len(data) - len(packed) + 1)
            data[place : place + len(packed)] = packed

    def _cut(self, data: bytearray, start: int) -> None:
        del data[self.choose.randint(start, len(data)) :]

    def _insert(self, data: bytearray, start: int) -> None:
        place = self.choose.randint(start, len(data))
        data[place:place] = self.choose.randbytes(self.choose.choice((1, 2, 4, 16, 200)))

    def _copy(self, data: bytearray, start: int) -> None:
        """Put one part over, or into, another."""
        length = self.choose.choice((1, 4, 8, 32, 128))
        source, place = self.choose.randint(start, len(data)), self.choose.randint(start, len(data))
        data[place : place + self.choose.choice((0, length))] = data[source : source + length]

    def _remove(self, data: bytearray, start: int) -> None:
        place = self.choose.randint(start, len(data))
        del data[place : place + self.choose.choice((1, 2, 4, 16, 64))]


def _places(holder: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in JSON, the outermost first."""
    keys = list(holder) if isinstance(holder, dict) else range(len(holder))
    found = [(holder, key) for key in keys]
    for key in keys:
        if isinstance(holder[key], (dict, list)):
            found += _places(holder[key])
    return found


def text(content: str) -> bytes:
    """As files hold it: lone surrogates too, which a foreign program may write."""
    return content.encode("utf-8", errors="surrogatepass")
