"""Kinds of whole commands: valid ones with an absurd option, or with a file that is damaged."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

from faults import samples
from faults.kind import Files, Kind, Samples
from faults.mutation import Mutator
from napari_unetseg.core.io.loadsave import save_labels, save_volume
from napari_unetseg.errors import InputError

COMMANDS = (
    ["info", "image.tif"],
    ["info", "m.safetensors", "--json"],
    ["segment", "image.tif", "-o", "out/a.nii.gz", "-m", "m.safetensors", "--device", "cpu", "--smallest", "1"],
    ["segment", "image.tif", "-o", "out/a.ome.tif", "-m", "m.safetensors", "--spacing", "2,0.5,0.5um", "--scale", "1"],
    [
        "segment",
        "image.tif",
        "-o",
        "out/a.nrrd",
        "-m",
        "m.safetensors",
        "--channel",
        "0",
        "--time",
        "0",
        "--level",
        "0",
    ],
    ["clean", "labels.tif", "-o", "out/a.tif", "--step", "remove_small volume=3", "--step", "smooth radius=1 unit=um"],
    ["clean", "labels.tif", "-o", "out/a.nii", "--step", "crf iterations=1", "--image", "image.tif"],
    ["clean", "labels.tif", "-o", "out/a.tif", "--step", "prior strength=1", "--painted", "paint.tif"],
    ["evaluate", "labels.tif", "paint.tif", "-o", "out/a.csv", "--tolerance", "1", "--json"],
    ["measure", "labels.tif", "--image", "image.tif", "-o", "out/a.csv"],
    ["report", "labels.tif", "-o", "out/a.html", "--image", "image.tif", "--reference", "paint.tif"],
    ["surfaces", "labels.tif", "-o", "out", "--format", ".stl"],
    ["models", "m.safetensors", "--json"],
)


def _commands(folder: Path) -> Samples:
    """One command a file ``command.json``; the files that any of them takes lie beside it."""
    save_volume(folder / "image.tif", samples.image())
    save_labels(folder / "labels.tif", samples.labels())
    save_labels(folder / "paint.tif", samples.paint())
    samples.write_model(folder / "m.safetensors")
    names = ("image.tif", "labels.tif", "paint.tif", "m.safetensors")
    files = {name: (folder / name).read_bytes() for name in names} | {"out/old.txt": b"mine"}
    return [files | {"command.json": json.dumps(words).encode()} for words in COMMANDS]


def _mutated_command(mutator: Mutator, files: Files) -> Files:
    words = json.loads(files["command.json"])
    if mutator.choose.random() < 0.3:
        named = sorted(name for name in files if name in words)
        name = mutator.choose.choice(named)
        return files | {name: mutator.bytes(files[name])}
    place = mutator.choose.randrange(1, len(words))
    action = mutator.choose.randrange(5)
    if action == 0:
        del words[place]
    elif action == 1:
        words.insert(place, mutator.choose.choice(words))
    elif action == 2:
        words[place] = mutator.choose.choice((*words, ".", "out", "out/x/y.tif", "/dev/null", "a" * 300 + ".tif", "\0"))
    else:
        words[place] = mutator.text(words[place])
    return files | {"command.json": json.dumps(words).encode("utf-8", errors="replace")}


def _feed_command(folder: Path) -> None:
    """Run it in its folder: it ends with a result, or with exit code 2, one line, and nothing written."""
    from napari_unetseg.cli import main

    words = json.loads((folder / "command.json").read_bytes())
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as end:
            code = end.code
    left = sorted(path.name for path in folder.rglob("*") if ".partial" in path.name or ".old" in path.name[:-4])
    if left or (folder / "out/old.txt").read_bytes() != b"mine":
        raise AssertionError(f"{left} were left, or a file of others was changed.")
    if code not in (0, None):
        lines = [line for line in err.getvalue().splitlines() if not line.startswith("note: ")]
        if code != 2 or len(lines) != 1 or not lines[0].startswith("error: "):
            raise AssertionError(f"Exit code {code} with {err.getvalue()!r}")
        written = [path.name for path in (folder / "out").iterdir() if path.name != "old.txt"]
        if written:
            raise AssertionError(f"It was refused, and {written} was written: {lines[0]}")
        raise InputError(lines[0])


COMMAND_KINDS = (Kind("command", 12, _commands, _mutated_command, _feed_command),)
