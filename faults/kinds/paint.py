"""Kinds of what belongs to paint: journals, who writes them, painted labels, and the records of sessions."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np

from faults import samples
from faults.kind import Files, Kind, Samples, mutate_bytes
from faults.mutation import Mutator
from napari_unetseg.core.annotations import journal, journal_lock
from napari_unetseg.core.annotations.journal_writer import Journal
from napari_unetseg.core.annotations.session_record import (
    Place,
    Session,
    SessionImage,
    file_fingerprint,
    fingerprint,
    read_session,
    write_session,
)
from napari_unetseg.core.annotations.sparse_labels import chance, check_painted, hold_out, to_classes
from napari_unetseg.core.io.loadsave import save_volume
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, structures_of


def _journals(folder: Path) -> Samples:
    path, painted = folder / "a.paint", samples.paint().array
    with Journal(path, samples.SHAPE) as kept:
        kept.record(np.where(painted == 1, painted, 0))
        kept.write_note({"structures": {"2": "nucleus", "3": "vessel"}, "model": "tiny"})
        kept.record(painted)
    return [{"a.paint": path.read_bytes()}]


def _mutated_journal(mutator: Mutator, files: Files) -> Files:
    """Half of them with bytes changed, the others with records whose checksums are right."""
    if mutator.choose.random() < 0.3:
        return {"a.paint": mutator.bytes(files["a.paint"], mutator.choose.choice((0, len(journal.MAGIC))))}
    records = [(kind, body) for kind, body, _ in _records(files["a.paint"])]
    for _ in range(mutator.some()):
        place = mutator.choose.randrange(len(records))
        records[place : place + 1] = _changed_record(mutator, *records[place])
        if not records:
            break
    return {"a.paint": journal.MAGIC + b"".join(_record(kind, body) for kind, body in records)}


def _records(content: bytes) -> list[tuple[bytes, bytes, int]]:
    found, place = [], len(journal.MAGIC)
    while place < len(content):
        length, _ = journal.HEAD.unpack_from(content, place)
        body = content[place + journal.HEAD.size :][:length]
        place += journal.HEAD.size + length
        found.append((body[:1], body[1:], place))
    return found


def _record(kind: bytes, body: bytes) -> bytes:
    whole = kind + body
    return journal.HEAD.pack(len(whole), zlib.crc32(whole)) + whole


def _changed_record(mutator: Mutator, kind: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    action = mutator.choose.randrange(10)
    if action == 0:
        return []
    if action == 1:
        return [(kind, body)] * mutator.choose.choice((2, 3, 50))
    if action == 2:
        return [(mutator.choose.choice((b"H", b"S", b"N", b"Z", b"")), body)]
    if action == 3:
        return [(kind, mutator.bytes(body))]
    if kind == b"S":
        return [(kind, _changed_stroke(mutator, body))]
    return [(kind, mutator.json_bytes(body))]


def _changed_stroke(mutator: Mutator, body: bytes) -> bytes:
    try:
        raw = zlib.decompress(body)
    except zlib.error:
        return mutator.bytes(body)
    if mutator.choose.random() < 0.1:
        raw = bytes(mutator.choose.choice((10**5, 10**8)))  # a bomb
    elif len(raw) >= 10 and mutator.choose.random() < 0.5:
        count = len(raw) // 10
        place, gap = mutator.choose.randrange(count), mutator.choose.choice((0, -1, 1, 2**31, 2**62, 2**63 - 1, 767))
        raw = raw[: 8 * place] + struct.pack("<q", gap) + raw[8 * place + 8 :]
    else:
        raw = mutator.bytes(raw)
    return zlib.compress(raw)


def _feed_journal(folder: Path) -> None:
    """Read it, go on with it as the painter does, and read that."""
    path = folder / "a.paint"
    recovered = journal.read_journal(path)
    names = recovered.note.get("structures", {})
    structures_of(3, {int(value) - 1: str(name) for name, value in zip(names.values(), names, strict=True)})
    with Journal(path, recovered.painted.shape) as kept:
        painted = kept.painted.copy()
        painted[-1, -1, -1] ^= 1
        kept.record(painted)
        kept.write_note({"structures": {"2": "b"}})
    again = journal.read_journal(path)
    if not np.array_equal(again.painted, painted) or again.note != {"structures": {"2": "b"}}:
        raise AssertionError("A stroke that was recorded is not in the journal.")


def _owners(folder: Path) -> Samples:
    """A journal, and who else is said to write it."""
    path = folder / "a.paint"
    with Journal(path, samples.SHAPE):
        return [{name: (folder / name).read_bytes() for name in ("a.paint", ".a.paint.owner")}]


def _mutated_owner(mutator: Mutator, files: Files) -> Files:
    return files | {".a.paint.owner": mutator.json_bytes(files[".a.paint.owner"])}


def _feed_owner(folder: Path) -> None:
    """Open a journal that another holds, and say who that is."""
    path = folder / "a.paint"
    with path.open("r+b") as other:
        journal_lock.hold_new(other)
        str(journal_lock.owner_of(path))
        with contextlib.suppress(journal_lock.JournalInUseError):
            Journal(path, samples.SHAPE).close()
    Journal(path, samples.SHAPE).close()


PAINT_VALUES = (0, 1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**63 - 1, -1)


def _paints(_folder: Path) -> Samples:
    buffers = []
    for dtype in (np.uint8, np.uint16, np.int16, np.int32, np.int64, np.uint64):
        np.save(buffer := io.BytesIO(), samples.paint().array.astype(dtype))
        buffers.append({"painted.npy": buffer.getvalue()})
    return buffers


def _mutated_paint(mutator: Mutator, files: Files) -> Files:
    array = np.load(io.BytesIO(files["painted.npy"]))
    for _ in range(mutator.some()):
        place = mutator.choose.randrange(array.size)
        value = mutator.choose.choice(PAINT_VALUES)
        with np.errstate(all="ignore"):
            array.reshape(-1)[place : place + mutator.choose.choice((1, 1, 40))] = np.int64(value).astype(array.dtype)
        array = mutator.choose.choice((array, array, array, array[:1], array[:, ::-1], array.swapaxes(0, 2), array * 0))
    if mutator.choose.random() < 0.1:
        array = array.astype(mutator.choose.choice((np.bool_, np.float32, np.int8, np.complex64)))
    np.save(buffer := io.BytesIO(), array)
    return {"painted.npy": buffer.getvalue()}


def _feed_paint(folder: Path) -> None:
    """Check it as everything does that learns, split it, and journal it."""
    painted = np.load(folder / "painted.npy")
    check_painted([painted], [samples.SHAPE])
    split = hold_out([painted])
    chance(split.held_out)
    if int(to_classes(painted).max()) != int(painted.max()) - 1:
        raise AssertionError("The highest class is another than was painted.")
    journal.write_paint(folder / "a.paint", painted)
    if not np.array_equal(journal.read_journal(folder / "a.paint").painted, painted):
        raise AssertionError("Paint came back from its journal as other paint.")


def session_of(folder: Path) -> Session:
    """The record of a session on an image and paint that are put into a folder, too."""
    volume = samples.image()
    save_volume(folder / "image.tif", volume)
    journal.write_paint(folder / "m.session-1.paint", samples.paint().array)
    one = SessionImage(
        place=Place(path="image.tif"),
        name="image",
        channels=volume.channels,
        shape=volume.array.shape,
        spacing=volume.grid.spacing,
        unit="µm",
        sha256=fingerprint(volume.array),
        paint="m.session-1.paint",
        paint_sha256=file_fingerprint(folder / "m.session-1.paint"),
    )
    settings = {field.name: getattr(FineTuneSettings(steps=0), field.name) for field in fields(FineTuneSettings)}
    return Session(
        program="1.0",
        torch="2.13",
        device="cpu",
        threads=1,
        precisions={"train unet (1, 1, 4, 8, 8)": "float32"},
        images=(one,),
        start=None,
        settings=settings,
        names={1: "nucleus", 2: "vessel"},
    )


def _sessions(folder: Path) -> Samples:
    write_session(folder / "m.session.json", session_of(folder))
    names = ("image.tif", "m.session-1.paint", "m.session.json")
    return [{name: (folder / name).read_bytes() for name in names}]


def _mutated_session(mutator: Mutator, files: Files) -> Files:
    if mutator.choose.random() < 0.1:
        return mutate_bytes(mutator, files)
    return files | {"m.session.json": mutator.json_bytes(files["m.session.json"])}


def _feed_session(folder: Path) -> None:
    """Read it, and take everything from it that a replay takes before it computes."""
    from napari_unetseg.engine.devices import choose_device
    from napari_unetseg.engine.fewshot import replay

    session = read_session(folder / "m.session.json")
    replay._settings(session)
    choose_device(session.device)
    structures_of(3, session.names)
    for one in session.images:
        painted = replay._paint(folder, one)
        volume = replay._found(folder, one)
        check_painted([painted], [volume.shape])
    replay._start(folder, session)


PAINT_KINDS = (
    Kind("journal", 16, _journals, _mutated_journal, _feed_journal),
    Kind("owner", 1, _owners, _mutated_owner, _feed_owner),
    Kind("paint", 4, _paints, _mutated_paint, _feed_paint),
    Kind("session", 8, _sessions, _mutated_session, _feed_session),
)
