"""Journals and session records from anywhere: read, skipped with a note, or refused in one line; never a traceback."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.annotations.journal import MAGIC, Recovered, read_journal
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.core.annotations.session_record import read_session
from napari_unetseg.errors import InputError
from support import Command

OLD = Path(__file__).parents[2] / "recorded" / "old"
SHAPE = (2, 4, 4)
RECORD = json.loads((OLD / "head.session.json").read_text(encoding="utf-8"))


def record(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack("<II", len(body), zlib.crc32(body)) + body


def stroke(gaps: list[int], values: list[int], rest: bytes = b"") -> bytes:
    return record(b"S", zlib.compress(np.array(gaps, "<i8").tobytes() + np.array(values, "<u2").tobytes() + rest))


HEADER = record(b"H", json.dumps({"shape": SHAPE}).encode())
FIRST, LAST = stroke([3, 2], [1, 2]), stroke([7], [9])


def read(path: Path, *records: bytes) -> Recovered:
    path.write_bytes(MAGIC + b"".join(records))
    return read_journal(path)


IMPOSSIBLE = {
    "outside": stroke([3, 40], [5, 5]),
    "far outside": stroke([2**62, 2**62, 2**62], [5, 5, 5]),
    "before the first": stroke([-1], [5]),
    "backwards": stroke([9, -3], [5, 5]),
    "twice": stroke([9, 0], [5, 5]),
    "of another dtype": record(b"S", zlib.compress(np.array([3, 5], "<i4").tobytes())),
    "longer than its array": stroke([1] * 40, [5] * 40),
    "cut off": record(b"S", zlib.compress(bytes(10))[:-3]),
    "not packed": record(b"S", b"Dear colleague"),
    "nothing": record(b"S", b""),
    "of an unknown kind": record(b"?", b"1234"),
    "a note cut off": record(b"N", b"{"),
    "a note in no text": record(b"N", b"\xff"),
    "a note without end": record(b"N", b"[" * 100_000),
    "a note that is a list": record(b"N", b"[1]"),
    "names of nothing": record(b"N", b'{"structures": {"x": "a"}}'),
    "names that are none": record(b"N", b'{"structures": {"2": null}}'),
    "names out of range": record(b"N", b'{"structures": {"70000": "a"}}'),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_a_record_that_means_nothing_is_skipped_and_told_and_the_others_stand(name: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 records mean nothing"):
        found = read(tmp_path / "a.paint", HEADER, FIRST, IMPOSSIBLE[name], LAST)
    assert found.strokes == 2
    assert found.skipped == 1
    assert found.note == {}
    assert {int(i): int(found.painted.flat[i]) for i in np.flatnonzero(found.painted)} == {3: 1, 5: 2, 7: 9}


def test_a_journal_with_such_a_record_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "a.paint"
    path.write_bytes(MAGIC + HEADER + FIRST + IMPOSSIBLE["outside"])
    with pytest.warns(UserWarning, match="mean nothing"):
        journal = Journal(path, SHAPE)
    with journal:
        painted = journal.painted.copy()
        painted[1] = 4
        journal.record(painted)
    with pytest.warns(UserWarning, match="mean nothing"):
        assert np.array_equal(read_journal(path).painted, painted)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b'"nan"',
        b"[]",
        b"{}",
        b'{"shape": 3}',
        b'{"shape": [true, 4, 4]}',
        b'{"shape": [2, 4]}',
        b'{"shape": [2.5, 4, 4]}',
        b'{"shape": [0, 4, 4]}',
        b'{"shape": [-1, -4, 4]}',
        b'{"shape": [1e30, 4, 4]}',
        b'{"shape": [4, 16, 2147483648]}',
        b'{"shape": [1000000000000000000000000000000, 16, 16]}',
        b'{"shape": [NaN, 1, 1]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_a_header_that_cannot_be_is_refused_in_one_line(header: bytes, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a journal of paint") as refusal:
        read(tmp_path / "a.paint", record(b"H", header), FIRST)
    assert "\n" not in str(refusal.value)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"S", b"N", b"H", b"?"]), st.binary(max_size=60), st.booleans()), max_size=4)
)
def test_whatever_whole_records_hold_the_paint_before_and_after_them_stands(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[bytes, bytes, bool]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.paint"
    between = [record(kind, zlib.compress(content) if packed else content) for kind, content, packed in records]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read(path, HEADER, *between, FIRST)
    assert found.painted.shape == SHAPE
    assert found.painted.flat[3] == 1
    assert found.size == path.stat().st_size


@pytest.mark.parametrize("value", [65536, 2**31, -1])
def test_paint_that_a_journal_cannot_keep_is_refused_not_changed(value: int, tmp_path: Path) -> None:
    painted = np.zeros(SHAPE, np.int64)
    painted[0, 0, 0] = value
    with Journal(tmp_path / "a.paint", SHAPE) as journal:
        with pytest.raises(InputError, match="painted values"):
            journal.record(painted)
        painted[0, 0, 0] = 65535
        assert journal.record(painted) == 1


def changed(place: tuple[Any, ...], value: object) -> dict[str, Any]:
    """The session of an earlier version, with one value changed."""
    copy = json.loads(json.dumps(RECORD))
    inner = copy
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return copy


NAN, INF = float("nan"), float("inf")
WRONG: list[tuple[tuple[Any, ...], object]] = [
    (("settings", "seed"), "nan"),
    (("settings", "seed"), -1),
    (("settings", "seed"), 2**64),
    (("settings", "steps"), -1),
    (("settings", "steps"), 1e300),
    (("settings", "minutes"), NAN),
    (("settings", "minutes"), INF),
    (("settings", "whole"), "maybe"),
    (("settings", "structure_weight"), [1]),
    (("settings", "boundary_weight"), NAN),
    (("settings", "device"), None),
    (("settings", "unheard"), {"of": 1}),
    (("settings",), []),
    (("threads",), 0),
    (("threads",), 1e9),
    (("images",), []),
    (("images", 0, "shape"), [1, 7, 40]),
    (("images", 0, "shape"), [1, 7, 40, 0]),
    (("images", 0, "shape"), [1, 7, 40, 1.5]),
    (("images", 0, "shape"), [1, 7, 40, 2**70]),
    (("images", 0, "spacing"), [0, 1, 1]),
    (("images", 0, "spacing"), [NAN, 1, 1]),
    (("images", 0, "spacing"), [INF, 1, 1]),
    (("images", 0, "unit"), "furlong"),
    (("images", 0, "sha256"), "short"),
    (("images", 0, "paint"), "../../etc/passwd"),
    (("images", 0, "paint"), "/etc/passwd"),
    (("images", 0, "channels"), []),
    (("images", 0, "place", "time"), -1),
    (("images", 0, "place", "level"), "deep"),
    (("start",), "../model.safetensors"),
    (("start",), 3),
    (("start_sha256",), "x"),
    (("names",), {"0": "a"}),
    (("names",), {"one": "a"}),
    (("names",), {"1": ""}),
    (("names",), None),
    (("schema_version",), 2),
    (("program",), None),
    (("precisions",), {"net": "float8"}),
    (("unheard",), 1),
]


@pytest.mark.parametrize(("place", "value"), WRONG, ids=lambda part: str(part)[:40])
def test_a_session_with_an_impossible_field_is_refused_by_its_name(
    place: tuple[Any, ...], value: object, tmp_path: Path
) -> None:
    path = tmp_path / "m.session.json"
    path.write_text(json.dumps(changed(place, value)), encoding="utf-8")
    with pytest.raises(InputError, match=str(place[0])) as refusal:
        read_session(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"images": 1e999}'], ids=lambda text: text[:9])
def test_a_session_that_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.session.json").write_text(text)
    with pytest.raises(InputError, match="session"):
        read_session(tmp_path / "m.session.json")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3000))
def test_a_session_with_any_bytes_in_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: int
) -> None:
    content = json.dumps(RECORD).encode()
    path = tmp_path_factory.getbasetemp() / "fuzzed.session.json"
    path.write_bytes(content[:place] + junk + content[place + len(junk) :])
    try:
        read_session(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(("place", "value"), [(("settings", "seed"), "nan"), (("images", 0, "spacing"), [0, 1, 1])])
def test_the_command_says_it_in_one_line_and_writes_nothing(
    command: Command, tmp_path: Path, place: tuple[Any, ...], value: object
) -> None:
    for part in (*OLD.glob("head.session*"), OLD / "image.ome.tif"):
        shutil.copy(part, tmp_path / part.name)
    (tmp_path / "head.session.json").write_text(json.dumps(changed(place, value)))
    outcome = command("finetune", "--session", tmp_path / "head.session.json", "-o", tmp_path / "out.safetensors")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert str(place[-1]) in outcome.err
    assert not (tmp_path / "out.safetensors").exists()
