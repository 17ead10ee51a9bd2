"""Kinds of what belongs to models: their files, packages of the model zoo, steps of clean-up, settings."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import warnings
import zipfile
from pathlib import Path

import yaml

from faults import samples
from faults.kind import Files, Kind, Samples
from faults.mutation import Mutator, text
from napari_unetseg.core.io.loadsave import save_volume
from napari_unetseg.core.models.catalogue import CARD_KEY, read_card
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.steps import STEPS, parse_step, steps_to_json
from napari_unetseg.errors import SettingsError
from napari_unetseg.service.messages import MessageError, decode, encode

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


MODEL_KINDS = (
    Kind("model", 10, _models, _mutated_model, _feed_model),
    Kind("package", 4, _packages, _mutated_package, _feed_package),
    Kind("step", 10, _steps, _mutated_step, _feed_step),
    Kind("settings", 4, _settings, _mutated_settings, _feed_settings),
)
