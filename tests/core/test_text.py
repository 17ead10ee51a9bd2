"""What cannot be seen is spelled out, and what can be seen stays."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.text import MOST, display_lines, display_text, json_line

SHOWN = [
    ("nucleus", "nucleus"),
    ("Zellkern µm³ – 細胞 é", "Zellkern µm³ – 細胞 é"),
    ("👩\u200d🔬", "👩\u200d🔬"),
    ("\x1b]0;evil\x07", r"\x1b]0;evil\x07"),
    ("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred"),
    ("\x9b31m", r"\x9b31m"),
    ("a\r\nerror: b\tc\0", r"a\r\nerror: b\tc\x00"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2066a\u2069\ufeff\u200b", r"\u2066a\u2069\ufeff\u200b"),
    ("a\u2028b\u2029c\x85", r"a\u2028b\u2029c\x85"),
    ("\udcff.tif", r"\udcff.tif"),
    ("\U000e0041", r"\U000e0041"),
    (7, "7"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN, ids=range(len(SHOWN)))
def test_what_cannot_be_seen_is_spelled_out(text: object, shown: str) -> None:
    assert display_text(text) == shown


def test_a_long_text_is_cut() -> None:
    assert display_text("a" * MOST) == "a" * MOST
    assert display_text("a" * 10**6) == "a" * (MOST - 1) + "…"
    assert display_text("\0" * 5, most=10) == r"\x00\x00\…"
    assert display_text("abc", most=2) == "a…"


def test_line_breaks_that_are_meant_stay() -> None:
    assert display_lines("one\ntwo\x1b") == "one\ntwo\\x1b"


@given(st.text())
def test_what_is_shown_is_one_line_and_shown_again_is_the_same(text: str) -> None:
    shown = display_text(text)
    assert len(shown.splitlines()) <= 1
    assert not {unicodedata.category(c) for c in shown if c not in "\u200c\u200d"} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert len(shown) <= MOST
    assert display_text(shown) == shown


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_json_means_the_same_and_holds_nothing_that_cannot_be_seen(record: dict[str, object]) -> None:
    line = json_line(record)
    assert json.loads(line) == record
    assert display_text(line, len(line)) == line
    line.encode()
