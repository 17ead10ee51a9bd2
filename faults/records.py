"""Kinds of records: journals of paint, sessions, models, steps, settings, packages, messages, what is cached."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from faults import samples
from faults.kinds import Files, Kind, Samples, mutate_bytes
from faults.mutation import Mutator
from napari_unetseg.core.annotations import journal
from napari_unetseg.core.annotations.annotation import Annotation
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
from napari_unetseg.core.io.cache import Cache
from napari_unetseg.core.io.loadsave import save_volume
from napari_unetseg.core.models.catalogue import CARD_KEY, read_card
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings, structures_of
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.steps import STEPS, parse_step, steps_to_json
from napari_unetseg.errors import InputError, SettingsError
from napari_unetseg.service import wire
from napari_unetseg.service.messages import MessageError, decode, encode
from napari_unetseg.service.verbs import verb

STEP_TEXTS = (
    *("keep_largest parts=2 structures=1,2", "remove_small volume=10 unit=um", "fill_holes per_slice=true"),
    *(
        "smooth radius=1.5 unit=pixel structures=1",
        "dilate distance=2",
        "erode distance=0.5 unit=um",
        "separate depth=1 structures=1",
    ),
    *("number_parts structures=1", "merge_tiles tile=2,4,4 contact=0.5", "renumber", "crf iterations=1 window=1"),
    *("prior strength=1 softness=2 unit=pixel", "separate along=edges depth=0.5 structures=1"),
)


def text(content: str) -> bytes:
    """As files hold it: lone surrogates too, which a foreign program may write."""
    return content.encode("utf-8", errors="surrogatepass")


# --- journals of paint -----------------------------------------------------------------------------------------------


def _journals(folder: Path) -> Samples:
    path, painted = folder / "a.paint", samples.paint().array
    with journal.Journal(path, samples.SHAPE) as kept:
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
    with journal.Journal(path, recovered.painted.shape) as kept:
        painted = kept.painted.copy()
        painted[-1, -1, -1] ^= 1
        kept.record(painted)
        kept.write_note({"structures": {"2": "b"}})
    again = journal.read_journal(path)
    if not np.array_equal(again.painted, painted) or again.note != {"structures": {"2": "b"}}:
        raise AssertionError("A stroke that was recorded is not in the journal.")


# --- painted labels --------------------------------------------------------------------------------------------------


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


# --- sessions --------------------------------------------------------------------------------------------------------


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
        volume = replay._volume(replay._found(folder, one), one)
        check_painted([painted], [volume.shape])
    replay._start(folder, session)


# --- models ----------------------------------------------------------------------------------------------------------


CARD_FIELDS = ("architecture", "architecture", "normalisation", "structures", "voxel_size", "halo")


def _models(folder: Path) -> Samples:
    found = []
    for dimensions in (2, 3):
        samples.write_model(folder / "m.safetensors", dimensions)
        found.append({"m.safetensors": (folder / "m.safetensors").read_bytes()})
    return found


def _mutated_model(mutator: Mutator, files: Files) -> Files:
    """Most of them with another card or header, and weights as they were."""
    content = files["m.safetensors"]
    if mutator.choose.random() < 0.15:
        return {"m.safetensors": mutator.bytes(content, mutator.choose.choice((0, 8)))}
    (length,) = struct.unpack_from("<Q", content)
    header, weights = json.loads(content[8 : 8 + length]), content[8 + length :]
    if mutator.choose.random() < 0.75:
        header["__metadata__"][CARD_KEY] = _changed_card(mutator, header["__metadata__"][CARD_KEY])
        head = json.dumps(header)
    else:
        head = mutator.json_text(header)
    raw = text(head)
    return {"m.safetensors": struct.pack("<Q", len(raw)) + raw + weights}


def _changed_card(mutator: Mutator, card: str) -> str:
    fields = json.loads(card)
    if mutator.choose.random() < 0.5:
        name = mutator.choose.choice(CARD_FIELDS)
        fields[name] = mutator.json(fields[name])
        return json.dumps(fields)
    return mutator.json_text(fields)


def _feed_model(folder: Path) -> None:
    """Read its card, list it, load it, and segment with it."""
    from napari_unetseg import api
    from napari_unetseg.cli import terminal
    from napari_unetseg.core.report.page import _card_facts

    path = folder / "m.safetensors"
    card = read_card(path)
    terminal.card_facts(card)
    _card_facts(card)
    volume = samples.image(len(card.channels)) if len(card.channels) < 9 else samples.image()
    api.segment(volume, api.load_model(path))


# --- packages of the model zoo ---------------------------------------------------------------------------------------


def _packages(folder: Path) -> Samples:
    samples.write_model(folder / "m.safetensors", 2)
    model = (folder / "m.safetensors").read_bytes()
    ours = {"source": "m.safetensors", "sha256": hashlib.sha256(model).hexdigest()}
    description = {
        "type": "model",
        "format_version": "0.5.0",
        "name": "tiny",
        "timestamp": "2026-01-31T12:00:00",
        "weights": {"pytorch_state_dict": {"source": "weights.pt"}},
        "config": {"napari_unetseg": {"model": ours}},
    }
    with zipfile.ZipFile(folder / "p.zip", "w") as archive:
        archive.writestr("rdf.yaml", yaml.safe_dump(description))
        archive.writestr("m.safetensors", model)
    return [{"p.zip": (folder / "p.zip").read_bytes()}]


def _mutated_package(mutator: Mutator, files: Files) -> Files:
    """Another description, other names of files, or bytes changed."""
    with zipfile.ZipFile(io.BytesIO(files["p.zip"])) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    raw = files["rdf.yaml"]
    action = mutator.choose.random()
    if action < 0.5:
        raw = text(yaml.safe_dump(mutator.json(yaml.safe_load(raw))))
    elif action < 0.8:
        values = ("2026-13-45", "2026-02-30T99:99:99", "!!python/object:os.system x", "&a [*a]", "*b", "? {}", "1_0:99")
        lines = raw.decode().splitlines()
        place = mutator.choose.randrange(len(lines))
        lines[place] = f"{lines[place].partition(':')[0]}: {mutator.choose.choice(values)}"
        raw = "\n".join(lines).encode()
    content = _packed(mutator, files | {"rdf.yaml": raw})
    return {"p.zip": content if action < 0.6 else mutator.bytes(content)}


def _packed(mutator: Mutator, files: Files) -> bytes:
    """A zip file of any method, now and then with a name that none may have."""
    packed = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    method = mutator.choose.choice(methods)
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", method) as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in files.items():
            entry = zipfile.ZipInfo(mutator.choose.choice((*(name,) * 20, f"../{name}", f"/{name}", "a" * 300, "")))
            entry.compress_type = method
            archive.writestr(entry, content)
    return packed.getvalue()


def _feed_package(folder: Path) -> None:
    from napari_unetseg.engine.bioimageio.packages import import_model

    import_model(folder / "p.zip", folder / "m.safetensors")


# --- steps and settings ----------------------------------------------------------------------------------------------


def _steps(_folder: Path) -> Samples:
    return [{"step.txt": step.encode()} for step in STEP_TEXTS]


def _mutated_step(mutator: Mutator, files: Files) -> Files:
    if mutator.choose.random() < 0.4:  # a value of the right place, but absurd
        words = files["step.txt"].decode().split(" ")
        place = mutator.choose.randrange(len(words))
        name, equals, _ = words[place].partition("=")
        words[place] = f"{name}{equals}{mutator.value()}" if equals else words[place]
        return {"step.txt": text(" ".join(words))}
    return {"step.txt": text(mutator.text(files["step.txt"].decode()))}


def _feed_step(folder: Path) -> None:
    """Read it, apply it, and read it again as records have it."""
    from napari_unetseg import api

    step = parse_step((folder / "step.txt").read_text(encoding="utf-8", errors="replace"))
    STEPS.validate_json(json.dumps(steps_to_json([step])))
    api.clean(samples.labels(), [step], api.cleanup_context(samples.image(), painted=samples.paint()))


RECORDS = {"SegmentSettings": SegmentSettings, "FineTuneSettings": FineTuneSettings, "Selection": Selection}


def _settings(_folder: Path) -> Samples:
    given = (
        SegmentSettings(cleanup=(parse_step("smooth radius=1"),)),
        FineTuneSettings(steps=3),
        Selection((0,), 0, 0, ((0, 2), (0, 4), (0, 4)), (2.0, 1.0, 1.0), "µm"),
    )
    return [{type(record).__name__: encode(record)[0]} for record in given]


def _mutated_settings(mutator: Mutator, files: Files) -> Files:
    return {name: mutator.json_bytes(content) for name, content in files.items()}


def _feed_settings(folder: Path) -> None:
    """Read them as a message has them, and use those of a segmentation and a selection."""
    from napari_unetseg import api
    from napari_unetseg.service.messages import schema_of

    (path,) = folder.iterdir()
    try:
        record = decode(schema_of(RECORDS[path.name]), memoryview(path.read_bytes()), [])
    except MessageError as error:
        raise SettingsError(str(error)) from error
    if isinstance(record, SegmentSettings):
        samples.write_model(folder / "m.safetensors")
        api.forecast(samples.image(), folder / "m.safetensors", record)
    elif isinstance(record, Selection):
        save_volume(folder / "image.nii", samples.image())
        api.load_volume(folder / "image.nii", record)


# --- messages and the cache ------------------------------------------------------------------------------------------


def _messages(_folder: Path) -> Samples:
    """Calls of verbs, with the bytes of their arrays beside them."""
    volume, found = samples.image(), []
    box = ((0, 4), (0, 12), (0, 16))
    places = [Place(path="a.tif")]
    calls: dict[str, dict[str, Any]] = {
        "segment": {"volume": volume, "model": "tiny", "settings": SegmentSettings()},
        "session.paint": {"token": "a", "strokes": [Annotation(box, samples.paint().array)]},
        "session.open": {"token": "a", "volumes": [volume], "places": places, "start": None, "kept": None},
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


def kind(name: str, weight: float, make: Any, mutate: Any, feed: Callable[[Path], object]) -> Kind:
    """A kind of record."""
    return Kind(name, weight, make, mutate, feed)


RECORD_KINDS = (
    kind("journal", 16, _journals, _mutated_journal, _feed_journal),
    kind("paint", 4, _paints, _mutated_paint, _feed_paint),
    kind("session", 8, _sessions, _mutated_session, _feed_session),
    kind("model", 10, _models, _mutated_model, _feed_model),
    kind("package", 4, _packages, _mutated_package, _feed_package),
    kind("step", 10, _steps, _mutated_step, _feed_step),
    kind("settings", 4, _settings, _mutated_settings, _feed_settings),
    kind("message", 6, _messages, _mutated_message, _feed_message),
    kind("frame", 2, _frames, _mutated_frame, _feed_frame),
    kind("cache", 1, _entries, _mutated_entry, _feed_entry),
)
