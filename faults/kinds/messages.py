"""Kinds of what processes tell each other: calls of verbs, frames on the wire, entries of the cache."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import Any

from faults import samples
from faults.kind import Files, Kind, Samples, mutate_bytes
from faults.mutation import Mutator
from napari_unetseg.core.annotations.annotation import Annotation
from napari_unetseg.core.annotations.session_record import (
    Place,
)
from napari_unetseg.core.io.cache import Cache
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.errors import InputError
from napari_unetseg.service import wire
from napari_unetseg.service.messages import MessageError, decode, encode
from napari_unetseg.service.verbs import verb


def _messages(_folder: Path) -> Samples:
    """Calls of verbs, with the bytes of their arrays beside them."""
    volume, found = samples.image(), []
    box = ((0, 4), (0, 12), (0, 16))
    places = [Place(path="a.tif")]
    calls: dict[str, dict[str, Any]] = {
        "segment": {"volume": volume, "model": "tiny", "settings": SegmentSettings(), "corrections": None},
        "session.paint": {"token": "a", "strokes": [Annotation(box, samples.paint().array)]},
        "session.open": {
            "token": "a",
            "volumes": [volume],
            "places": places,
            "start": None,
            "kept": None,
            "corrects": False,
        },
        "session.learn": {"token": "a", "names": {1: "nucleus"}, "settings": FineTuneSettings(steps=1)},
        "inspect": {"path": Path("a.tif")},
        "load": {"path": Path("a.tif"), "selection": Selection(), "as_labels": False},
    }
    for name, arguments in calls.items():
        body, parts = encode(arguments)
        found.append({"verb": name.encode(), "body": body} | {f"part-{i}": bytes(p) for i, p in enumerate(parts)})
    return found


def _mutated_message(mutator: Mutator, files: Files) -> Files:
    if mutator.choose.random() < 0.15:
        return mutate_bytes(mutator, files)
    return files | {"body": mutator.json_bytes(files["body"])}


def _feed_message(folder: Path) -> None:
    """Read a call as the worker process does; what comes of that must fit what it says of itself."""
    parts = [memoryview(bytearray(path.read_bytes())) for path in sorted(folder.glob("part-*"))]
    try:
        called = verb((folder / "verb").read_bytes().decode("utf-8", errors="replace"))
        request = decode(called.request, memoryview((folder / "body").read_bytes()), parts)
    except MessageError as error:
        raise InputError(str(error)) from error
    for name in type(request).model_fields:
        repr(getattr(request, name))


def _frames(_folder: Path) -> Samples:
    here, there = socket.socketpair()
    with here, there:
        wire.send(here, "call", b'{"path": "a.tif"}', [memoryview(bytes(64))], "inspect")
        return [{"frame": there.recv(2**16)}]


def _mutated_frame(mutator: Mutator, files: Files) -> Files:
    frame, size = files["frame"], wire.PREFIX.size
    if mutator.choose.random() < 0.4:
        return {"frame": mutator.bytes(frame, mutator.choose.choice((0, len(wire.MARK))))}
    _, length = wire.PREFIX.unpack(frame[:size])
    head = mutator.json_bytes(frame[size : size + length])
    return {"frame": wire.PREFIX.pack(wire.MARK, len(head)) + head + frame[size + length :]}


def _feed_frame(folder: Path) -> None:
    here, there = socket.socketpair()
    with there:
        with here:
            here.sendall((folder / "frame").read_bytes()[: 2**16])
        try:
            wire.receive(there)
        except (MessageError, EOFError) as error:
            raise InputError(str(error)) from error


def _entries(folder: Path) -> Samples:
    cache = Cache(folder)
    cache.write("precision", "key", b"right")
    return [{str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}]


def _mutated_entry(mutator: Mutator, files: Files) -> Files:
    ((name, content),) = files.items()
    entry = mutator.bytes(content)
    if mutator.choose.random() < 0.5:
        inner = mutator.bytes(content[32:])
        entry = hashlib.sha256(inner).digest() + inner
    return {name: entry}


def _feed_entry(folder: Path) -> None:
    cache = Cache(folder)
    found = cache.read("precision", "key")
    cache.write("precision", "key", b"wrong")
    if cache.read("precision", "key") != b"wrong" or (found is not None and len(found) > 2**16):
        raise AssertionError("An entry was not kept.")


MESSAGE_KINDS = (
    Kind("message", 6, _messages, _mutated_message, _feed_message),
    Kind("frame", 2, _frames, _mutated_frame, _feed_frame),
    Kind("cache", 1, _entries, _mutated_entry, _feed_entry),
)
