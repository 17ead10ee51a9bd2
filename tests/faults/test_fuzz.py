"""Mutated inputs of every kind give a result or are refused; and what does neither would be found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAULTY = """
import sys, time
from pathlib import Path
from faults.fuzz import Tally, prepare, save
from faults.kind import Kind
from faults import sandbox
from faults.sandbox import Case, Sandbox
from napari_unetseg.errors import InputError

def feed(folder):
    word = (folder / "word").read_bytes()
    if b"refuse" in word: raise InputError("No.")
    if b"break" in word: {}["broken"]
    if b"memory" in word: bytearray(3 * 1024**3)
    if b"loop" in word:
        while True: pass
    if b"die" in word: __import__("os").abort()

sandbox.SECONDS = 1.0
prepare()
kinds = {"word": Kind("word", 1, None, None, feed)}
words = [b"good", b"refuse", b"what breaks it", b"memory", b"loop", b"die", b"good again"]
tally = Tally()
with Sandbox(kinds, 2) as pool:
    outcomes = pool.run(Case("word", n, {"word": word}) for n, word in enumerate(words))
    found = {case.number: outcome for case, outcome in outcomes}
for n in sorted(found):
    print(found[n].verdict, found[n].signature)
tally.add(Case("word", 2, {"word": words[2]}), found[2])
save(tally, kinds, Path(sys.argv[1]), 0)
"""


def python(*words: str | Path, seconds: float = 600) -> subprocess.CompletedProcess[str]:
    """Run Python in the repository's root, where `faults` lies."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)


@pytest.mark.parametrize("inputs", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_mutated_inputs_give_results_or_are_refused(tmp_path: Path, inputs: int) -> None:
    done = python("-m", "faults.fuzz", "--inputs", str(inputs), "--seed", str(inputs), "--findings", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    whole = done.stdout.splitlines()[-2].split()
    assert whole[0] == "all"
    assert int(whole[1]) > inputs
    assert int(whole[2]) > inputs / 10  # some are still right,
    assert int(whole[3]) > inputs / 10  # and some are not


def test_what_breaks_is_found_and_made_small(tmp_path: Path) -> None:
    done = python("-c", FAULTY, tmp_path)
    assert done.stdout.splitlines()[:7] == [
        "result ",
        "refused ",
        "fault KeyError in the door",
        "fault MemoryError in the door",
        "fault takes more than 1 s",
        "fault ends the process (SIGABRT)",
        "result ",
    ], done.stdout + done.stderr
    assert (tmp_path / "word-0-2/word").read_bytes() == b"break"
    facts = json.loads((tmp_path / "word-0-2.json").read_text())
    assert facts["fault"] == "KeyError in the door"
    assert "Traceback" in facts["details"]
