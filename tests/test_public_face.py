"""The public face: what scripts, other programs and napari rely on is as it was recorded in ``tests/recorded``.

Something that was removed or renamed breaks those who use it. Something new has only to be recorded:
``pytest tests/test_public_face.py --record``.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

import napari_unetseg
from napari_unetseg import api
from napari_unetseg.cli.app import app
from support import Command, Outcome

RECORDED = Path(__file__).parent / "recorded"
OLD = RECORDED / "old"
AGAIN = "pytest tests/test_public_face.py --record"
Check = Callable[[str, Any], None]
Given = tuple[Any, ...]


@pytest.fixture
def check(request: pytest.FixtureRequest) -> Check:
    """A function that compares a face with its record of that name; with ``--record`` it is written instead."""

    def compare(name: str, present: Any) -> None:
        path = RECORDED / f"{name}.json"
        present = json.loads(json.dumps(present))
        if request.config.getoption("record"):
            path.write_text(json.dumps(present, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
            return
        told = differences(json.loads(path.read_text(encoding="utf-8")), present)
        if told:
            pytest.fail(f"{path.name} differs from the present program:\n{told}", pytrace=False)

    return compare


def differences(recorded: Any, present: Any) -> str:
    """What is gone, what has changed and what is new, and what to do about it; empty where nothing is."""
    before, now = dict(leaves(recorded)), dict(leaves(present))
    gone = [f"  gone:    {name}" for name in before if name not in now]
    changed = [f"  changed: {n}: {before[n]!r} is now {now[n]!r}" for n in before if n in now and before[n] != now[n]]
    new = [f"  new:     {name}" for name in now if name not in before]
    lines = [*gone, *changed, *new]
    if gone or changed:
        lines.append(
            "Scripts of users break where a name is gone or changed: keep the old one working, and record only what is "
            f"meant, by {AGAIN}; CHANGELOG.md has to say so."
        )
    elif new:
        lines.append(f"Nothing is gone. If what is new is meant to be public, record it: {AGAIN}")
    return "\n".join(lines)


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """(place, value) of every leaf of nested dicts; an empty dict is a leaf too."""
    if isinstance(tree, dict) and tree:
        for name, branch in tree.items():
            yield from leaves(branch, f"{place} → {name}" if place else name)
    else:
        yield place, tree


def test_a_difference_says_what_is_gone_changed_and_new_and_how_to_record_it() -> None:
    recorded = {"a": {"x": 1, "y": 2}, "b": {}}
    assert differences(recorded, recorded) == ""
    told = differences(recorded, {"a": {"x": 3, "z": 2}, "b": {}})
    assert [line.split()[0] for line in told.splitlines()] == ["gone:", "changed:", "new:", "Scripts"]
    assert "a → y" in told
    assert "1 is now 3" in told
    assert AGAIN in told
    added = differences(recorded, {**recorded, "c": 1})
    assert added.startswith("  new:     c\nNothing is gone.")
    assert AGAIN in added


# Commands


def command_tree() -> Any:
    """The commands as click has them, by name; ``""`` is the program itself."""
    import typer.main

    group: Any = typer.main.get_command(app)
    return {"": group, **group.commands}


def command_face(command: Any) -> dict[str, Any]:
    """What a command says of itself, and its options and arguments by name."""
    types = typing.get_type_hints(command.callback)
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    return {
        "help": plain(command.help),
        "parameters": {"/".join([*p.opts, *p.secondary_opts]): parameter_face(p, types[p.name]) for p in shown},
    }


def parameter_face(parameter: Any, type_: Any) -> dict[str, Any]:
    return {
        "kind": parameter.param_type_name,
        "type": re.sub(r"\w+\.", "", type_.__name__ if isinstance(type_, type) else str(type_)),
        "metavar": parameter.metavar,
        "default": None if parameter.default is None else str(parameter.default),
        "required": parameter.required,
        "help": plain(parameter.help),
    }


def plain(text: str | None) -> str:
    return " ".join((text or "").split())


def test_every_command_has_its_options_defaults_and_help(check: Check) -> None:
    check("commands", {name: command_face(command) for name, command in command_tree().items()})


@pytest.mark.parametrize("name", list(command_tree()))
def test_help_of_the_real_program_names_every_option(name: str) -> None:
    plain_terminal = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    words = [sys.executable, "-m", "napari_unetseg", *([name] if name else []), "--help"]
    shown = subprocess.run(words, env=plain_terminal, capture_output=True, text=True, timeout=120, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    said = set(re.findall(r"-[-\w]+", shown.stdout))
    options = {o for p in command_tree()[name].params if p.param_type_name == "option" for o in p.opts}
    assert options <= said


# The last line of --json


def shape_of(value: Any) -> Any:
    """The keys of a JSON value, nested, with the names of types instead of values."""
    if isinstance(value, dict):
        return {("<label>" if name.isdigit() else name): shape_of(part) for name, part in value.items()}
    if isinstance(value, list):
        return {"[]": merged([shape_of(part) for part in value])}
    return "null" if value is None else type(value).__name__


def merged(shapes: list[Any]) -> Any:
    """One shape for all: their keys together, and types that differ side by side. ``""`` is that of nothing."""
    shapes = [shape for shape in shapes if shape != ""]
    if shapes and all(isinstance(shape, dict) for shape in shapes):
        names = dict.fromkeys(name for shape in shapes for name in shape)
        return {name: merged([shape[name] for shape in shapes if name in shape]) for name in names}
    return "|".join(sorted({shape if isinstance(shape, str) else "object" for shape in shapes}))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an image, its labels and paint, folders of two of each, and one of an image that is none."""
    tmp_path.joinpath("out").mkdir()
    for name in ("image.ome.tif", "labels.ome.tif", "painted.tif", "light.safetensors", "whole.safetensors"):
        shutil.copy(OLD / name, tmp_path / name)
    for folder, source in (("images", "image.ome.tif"), ("predicted", "labels.ome.tif"), ("true", "labels.ome.tif")):
        tmp_path.joinpath(folder).mkdir()
        for name in ("a.ome.tif", "b.ome.tif"):
            shutil.copy(OLD / source, tmp_path / folder / name)
    tmp_path.joinpath("images/c.tif").write_text("not an image")
    return tmp_path


@pytest.fixture
def json_shape(command: Command, place: Path) -> Callable[..., Any]:
    """A function that runs a command in `place` and gives the shape of its last line."""

    def run(*words: object, code: int = 0) -> Any:
        outcome: Outcome = command(*words, "--json")
        assert outcome.code == code, outcome.err
        return shape_of(outcome.json)

    return run


def test_segment_tells_the_same_keys(check, json_shape, place: Path, tiny_object_model: Path) -> None:
    one = ("segment", place / "image.ome.tif", "-o", place / "out.tif", "--device", "cpu")
    classes = ("--model", place / "whole.safetensors")
    check("json-segment", {
        "a file": json_shape(*one, *classes),
        "a file, objects": json_shape(*one, "--model", tiny_object_model),
        "a file, probabilities": json_shape(*one, *classes, "--write", "probabilities"),
        "a folder, one of which fails": json_shape("segment", place / "images", "-o", place / "out", *classes, code=2),
    })  # fmt: skip


def test_finetune_tells_the_same_keys(check, json_shape, place: Path) -> None:
    paint = ("finetune", place / "image.ome.tif", "--painted", place / "painted.tif", "--steps", 0)
    session = ("finetune", OLD / "image.ome.tif", "--session", OLD / "head.session.json")
    check("json-finetune", {
        "paint": json_shape(*paint, "-o", place / "m.safetensors", "-m", place / "light.safetensors"),
        "a session": json_shape(*session, "-o", place / "s.safetensors"),
    })  # fmt: skip


def test_evaluate_and_measure_tell_the_same_keys(check, json_shape, place: Path) -> None:
    labels, image = place / "labels.ome.tif", place / "image.ome.tif"
    check("json-evaluate", {
        "classes": json_shape("evaluate", labels, labels, "--classes"),
        "objects": json_shape("evaluate", labels, labels, "--objects"),
        "painted": json_shape("evaluate", labels, place / "painted.tif", "--painted"),
        "folders": json_shape("evaluate", place / "predicted", place / "true", "--processes", 1),
    })  # fmt: skip
    check("json-measure", {
        "structures": json_shape("measure", labels),
        "structures in an image": json_shape("measure", labels, "--image", image),
        "objects": json_shape("measure", labels, "--objects"),
        "objects in an image": json_shape("measure", labels, "--objects", "--image", image),
    })  # fmt: skip


def test_what_is_made_of_labels_tells_the_same_keys(check, json_shape, place: Path) -> None:
    labels, image = place / "labels.ome.tif", place / "image.ome.tif"
    seen = ("--image", image, "--painted", place / "painted.tif")
    check("json-labels", {
        "clean": json_shape("clean", labels, "-o", place / "c.tif", "--step", "keep_largest"),
        "clean with evidence": json_shape("clean", labels, "-o", place / "c.tif", "--step", "prior", *seen),
        "surfaces": json_shape("surfaces", labels, "-o", place / "out"),
        "report": json_shape("report", labels, "-o", place / "r.html"),
        "report with everything": json_shape(
            "report", labels, "-o", place / "r.html", "--image", image, "--reference", labels,
            "--model", place / "whole.safetensors", "--step", "keep_largest", "--spacing", "2,0.5,0.5um",
        ),
    })  # fmt: skip


def test_models_tell_the_same_keys(check, json_shape, place: Path, labelled_set: Given) -> None:
    model, folder = labelled_set
    check("json-models", {
        "all": json_shape("models"),
        "some": json_shape("models", place / "light.safetensors"),
        "verified": json_shape("models", model, "--verify", "--data", folder, code=1),
        "export": json_shape("export", place / "whole.safetensors", "-o", place / "m.zip"),
        "import-model": json_shape("import-model", place / "m.zip", "-o", place / "back.safetensors"),
        "info of a model": json_shape("info", place / "light.safetensors"),
        "info of a bundled model": json_shape("info", "nuclei-2d"),
        "info of an image": json_shape("info", place / "image.ome.tif"),
        "demo": json_shape("demo", "-o", place / "demo"),
    })  # fmt: skip


@pytest.fixture
def labelled_set(place: Path) -> Given:
    """A model whose card claims a figure, and the folder of the set that the figure is of."""
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    path = place / "claims.safetensors"
    with safe_open(OLD / "whole.safetensors", framework="np") as file:
        ((key, text),) = file.metadata().items()
    score = {"held_out": "set", "structure": "nerve", "metric": "Dice", "value": 0.1, "images": 1}
    card = json.loads(text) | {"scores": [score], "held_out": [{"name": "set", "images": "set/*_image.tif"}]}
    save_file(load_file(OLD / "whole.safetensors"), path, metadata={key: json.dumps(card)})
    place.joinpath("data/set").mkdir(parents=True)
    tifffile.imwrite(place / "data/set/a_image.tif", tifffile.imread(OLD / "image.ome.tif"), photometric="minisblack")
    tifffile.imwrite(place / "data/set/a_label.tif", tifffile.imread(OLD / "labels.ome.tif"), photometric="minisblack")
    return path, place / "data"


# Python


def signature_of(function: Any) -> dict[str, str]:
    """Parameters by name: place, kind and default. Classes may be renamed, so types are left out."""
    return {
        name: f"{place}, {parameter.kind.description}{default_of(parameter.default, parameter.empty)}"
        for place, (name, parameter) in enumerate(inspect.signature(function).parameters.items(), start=1)
    }


def default_of(value: Any, empty: object) -> str:
    if value is empty:
        return ""
    return f" = {value!r}" if value is None or isinstance(value, (bool, int, float, str, tuple)) else " = …"


def class_face(cls: type) -> dict[str, Any]:
    """Fields with their defaults, and the public properties and methods."""
    fields = fields_of(cls)
    names = [name for name in dir(cls) if not name.startswith("_") and name not in (*fields, "model_config")]
    return {"fields": fields, "members": {name: "" for name in names if is_own(cls, name)}}


def fields_of(cls: Any) -> dict[str, str]:
    """Of a dataclass, or of a pydantic model; none of any other class."""
    if dataclasses.is_dataclass(cls):
        known = (f for f in dataclasses.fields(cls) if not f.name.startswith("_"))
        return {f.name: default_of(f.default, dataclasses.MISSING) for f in known}
    return {name: "" if field.is_required() else " = …" for name, field in getattr(cls, "model_fields", {}).items()}


def is_own(cls: type, name: str) -> bool:
    """Whether a member is of this program, not inherited from a library's class."""
    owner = next(base for base in cls.__mro__ if name in vars(base))
    return owner.__module__.startswith("napari_unetseg")


def face_of(thing: Any) -> Any:
    if isinstance(thing, type):
        return class_face(thing)
    if inspect.isroutine(thing):
        return signature_of(thing)
    return type(thing).__name__ if isinstance(thing, str) else "types"


def test_python_has_the_same_names_and_signatures(check: Check) -> None:
    assert sorted(dir(napari_unetseg)) == sorted(napari_unetseg.__all__)
    check("python", {
        "napari_unetseg": {name: face_of(getattr(napari_unetseg, name)) for name in napari_unetseg.__all__},
        "napari_unetseg.api": {name: face_of(getattr(api, name)) for name in api.__all__},
    })  # fmt: skip


def test_results_have_the_same_fields(check: Check, place: Path) -> None:
    """Of what the verbs give, whatever its class is called and wherever it lives."""
    image, target = OLD / "image.ome.tif", place / "again.safetensors"
    model = napari_unetseg.load_model(OLD / "light.safetensors")
    found = napari_unetseg.segment(image, model)
    learned = napari_unetseg.fine_tune(image, place / "painted.tif", model, api.FineTuneSettings(steps=0))
    replayed = napari_unetseg.replay(OLD / "head.session.json", target, [image])
    scored = napari_unetseg.evaluate(found.labels, np.minimum(found.labels.array, 1))
    check("results", {
        "segment": class_face(type(found)),
        "segment.labels": class_face(type(found.labels)),
        "segment.labels.grid": class_face(type(found.labels.grid)),
        "segment.labels.structures": class_face(type(found.labels.structures[0])),
        "fine_tune": class_face(type(learned)),
        "replay": class_face(type(replayed)),
        "replay.version": class_face(type(replayed.version)),
        "load_model": class_face(type(model)),
        "load_model.card": class_face(type(model.card)),
        "evaluate": class_face(type(scored)),
        "evaluate.structures": class_face(type(scored.structures[0])),
        "inspect": class_face(type(napari_unetseg.inspect(image))),
        "forecast": class_face(type(api.forecast(api.load_volume(image), model))),
        "progress": class_face(type(next(napari_unetseg.iter_segment(image, model)))),
    })  # fmt: skip


# napari's manifest


def test_the_manifest_contributes_the_same(check: Check) -> None:
    """Ids, menus, keys and patterns; the Python names behind them may move."""
    manifest = yaml.safe_load(files("napari_unetseg").joinpath("napari.yaml").read_text(encoding="utf-8"))
    given = manifest["contributions"]
    check("manifest", {
        "name": manifest["name"],
        "display_name": manifest["display_name"],
        "commands": {command["id"]: command["title"] for command in given["commands"]},
        "readers": {r["command"]: by_name(r, "filename_patterns") for r in given["readers"]},
        "writers": {w["command"]: by_name(w, "filename_extensions", "layer_types") for w in given["writers"]},
        "sample_data": {sample["key"]: without(sample, "key") for sample in given["sample_data"]},
        "widgets": {widget["display_name"]: widget["command"] for widget in given["widgets"]},
        "menus": {menu: {item["command"]: "" for item in items} for menu, items in given["menus"].items()},
    })  # fmt: skip


def by_name(record: dict[str, Any], *lists: str) -> dict[str, Any]:
    """A contribution whose lists are dicts, so that what is added to one is told apart from what is gone."""
    return without(record, "command") | {name: dict.fromkeys(record[name], "") for name in lists}


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}
