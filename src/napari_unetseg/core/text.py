"""Text of others, made fit to be shown: names, descriptions and messages that come from files, models and folders.

It may hold what a terminal obeys (escape sequences), what turns the reading direction round, line breaks that look
like lines of ours, or a million characters. All that a user is shown passes `display_text`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from typing import Any

MOST = 2000
"""Characters that are shown of one text."""
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what acts instead of being seen: control, format, surrogate, line and paragraph separator."""
JOINERS = "\u200c\u200d"
"""Format characters that some scripts and emoji are written with, and that do nothing else."""
LEFT_OUT = "…"


def display_text(text: object, most: int = MOST) -> str:
    r"""A text on one line, as it can be shown anywhere: what cannot be seen is spelled out, such as ``\x1b``.

    Parameters
    ----------
    text : object
        Its `str` is shown.
    most : int
        Characters; of a longer text the beginning is shown, and ``…``.

    Examples
    --------
    >>> display_text("a\x1b[31mb\nc")
    'a\\x1b[31mb\\nc'
    """
    shown = str(text)
    whole = len(shown) <= most
    if shown.isascii() and shown.isprintable() and whole:
        return shown
    shown = "".join(map(_seen, shown[:most]))
    return shown if whole and len(shown) <= most else shown[: most - 1] + LEFT_OUT


def display_lines(text: object, most: int = MOST) -> str:
    """The same for a text whose line breaks are meant: a description of several lines."""
    shown = "\n".join(display_text(line, most) for line in str(text)[: most + 1].split("\n"))
    return shown if len(shown) <= most else shown[: most - 1] + LEFT_OUT


def json_line(record: Mapping[str, Any]) -> str:
    """A record as JSON on one line; what cannot be seen is written as JSON escapes it, and means the same."""
    written = json.dumps(record, ensure_ascii=False, default=str)
    return "".join(c if c.isascii() or _is_seen(c) else json.dumps(c)[1:-1] for c in written).replace("\x7f", "\\u007f")


def _seen(character: str) -> str:
    if _is_seen(character):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _is_seen(character: str) -> bool:
    return unicodedata.category(character) not in HIDDEN or character in JOINERS
