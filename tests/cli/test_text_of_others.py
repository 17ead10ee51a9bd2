"""What files of others say is shown as text by every command: nothing in it acts on a terminal."""

from __future__ import annotations

import ast
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unetseg.core.io.loadsave import save_labels
from napari_unetseg.core.models.card import DataSource, Score
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.engine.networks.model_file import load_model, save_model
from support import Command, Outcome

CLI = Path(__file__).parents[2] / "src/napari_unetseg/cli"
EVIL = "\x1b]0;evil\x07\x1b[2J\x9b31m[bold]\u202egnp\u2066\u200b\r\nerror: all is lost\0"
SHOWN = r"\x1b]0;evil\x07\x1b[2J\x9b31m[bold]\u202egnp\u2066\u200b\r\nerror: all is lost\x00"
EVIL_PATH = EVIL.replace("\0", "")


@pytest.fixture
def evil_labels(tmp_path: Path) -> Path:
    """Labels in a file with an evil name, whose structure has an evil name."""
    array = np.zeros((4, 8, 8), np.uint8)
    array[1:3, 2:6, 2:6] = 1
    path = tmp_path / "\x1b]0;evil\x07\n\u202e.ome.tif"
    save_labels(path, Labels(array, structures=(Structure(label=1, name=EVIL, colour="#e69f00"),)))
    return path


@pytest.fixture
def evil_model(tiny_model: Path) -> Path:
    """A model whose card has evil texts wherever there may be any."""
    model = load_model(tiny_model)
    (bright,) = model.card.structures
    texts = dict.fromkeys(("title", "description", "version", "training", "licence"), EVIL)
    score = Score(held_out=EVIL, structure=EVIL, metric=EVIL, value=0.5, images=1)
    data = DataSource(name=EVIL, source=EVIL, licence=EVIL, credit=EVIL)
    structures = (bright.model_copy(update={"name": EVIL}),)
    more = {"structures": structures, "scores": (score,), "training_data": (data,), "known_failures": (EVIL,)}
    save_model(tiny_model, replace(model, card=model.card.model_copy(update={**texts, **more})))
    return tiny_model


def acting(outcome: Outcome) -> set[str]:
    """Characters that act instead of being seen, but for the ends of lines."""
    return {c for c in said(outcome) if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {"\n"}


def said(outcome: Outcome) -> str:
    return outcome.out + outcome.err


def unfolded(text: str) -> str:
    """Without the line breaks and spaces into which a narrow table folds its cells."""
    return "".join(text.split())


def test_tables_and_notes_show_evil_names_as_text(command: Command, evil_labels: Path, tmp_path: Path) -> None:
    (tmp_path / "meshes").mkdir()
    for arguments in (
        ("measure", evil_labels),
        ("evaluate", evil_labels, evil_labels),
        ("info", evil_labels),
        ("surfaces", evil_labels, "-o", tmp_path / "meshes"),
        ("clean", evil_labels, "-o", tmp_path / "clean.ome.tif", "--step", "keep_largest"),
        ("report", evil_labels, "-o", tmp_path / "page.html"),
        ("measure", evil_labels, "--image", tmp_path / EVIL_PATH),
        ("clean", evil_labels, "-o", tmp_path / "no.ome.tif", "--step", EVIL),
        ("segment", evil_labels, "-o", tmp_path / EVIL_PATH),
        (EVIL_PATH,),
    ):
        outcome = command(*arguments)
        assert outcome.code in (0, 2), outcome.err
        assert acting(outcome) == set()
        assert "\nerror: all is lost" not in said(outcome)
    assert unfolded(SHOWN[:8]) in unfolded(command("measure", evil_labels).out)


def test_cards_are_shown_as_text(command: Command, evil_model: Path, evil_labels: Path, tmp_path: Path) -> None:
    for arguments in (
        ("info", evil_model),
        ("models", evil_model),
        ("segment", evil_labels, "-m", evil_model, "-o", tmp_path / "out.ome.tif", "--device", "cpu"),
        ("report", evil_labels, "-m", evil_model, "-o", tmp_path / "page.html"),
    ):
        outcome = command(*arguments)
        assert outcome.code == 0, outcome.err
        assert acting(outcome) == set()
        assert "\nerror: all is lost" not in said(outcome)
    assert unfolded(SHOWN) in unfolded(command("info", evil_model).out)


def test_json_means_what_the_file_says_in_letters_that_do_nothing(
    command: Command, evil_model: Path, evil_labels: Path
) -> None:
    measured, card = command("measure", evil_labels, "--json"), command("info", evil_model, "--json")
    assert (acting(measured), acting(card)) == (set(), set())
    assert measured.json["structures"][0]["name"] == EVIL
    assert (card.json["title"], card.json["scores"][0]["held_out"]) == (EVIL, EVIL)
    assert card.json["known_failures"] == [EVIL]


def test_three_functions_print_and_what_they_are_given_has_been_made_text() -> None:
    printing = {}
    for path in CLI.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            called = {_name(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
            if called & {"print", "echo", "secho", "write", "print_json", "log", "input"}:
                printing[f"{path.stem}.{function.name}"] = called
    assert printing.keys() == {"terminal._line", "terminal.print_table", "terminal.facts"}
    assert all("display_text" in printing[name] for name in ("terminal.print_table", "terminal.facts"))
    lines = [
        {_name(argument.func) for argument in call.args if isinstance(argument, ast.Call)}
        for call in ast.walk(ast.parse((CLI / "terminal.py").read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and _name(call.func) == "_line"
    ]
    assert len(lines) == 3
    assert all(made & {"display_text", "json_line"} for made in lines)


def _name(call: ast.expr) -> str:
    return call.attr if isinstance(call, ast.Attribute) else call.id if isinstance(call, ast.Name) else ""
