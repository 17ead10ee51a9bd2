"""The ways of a stroke and of a click are short, and as the map tells: counted in both processes of a real viewer."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from support import PATIENCE

SCRIPT = Path(__file__).parents[2] / "benchmarks/hops.py"


def told(way):
    """The modules of a way, as the map has them."""
    lines = iter((SCRIPT.parents[1] / "CONTRIBUTING.md").read_text().partition(f"{way}:")[2].splitlines()[2:])
    return [line[3:].partition(":")[0] for line in itertools.takewhile(lambda line: line.startswith("- `"), lines)]


@pytest.mark.long
def test_a_stroke_passes_few_modules_until_its_preview(qtbot):
    done = subprocess.run([sys.executable, SCRIPT, "stroke"], capture_output=True, text=True, timeout=PATIENCE / 1000)
    assert done.returncode == 0, done.stderr
    passed = [line.strip().partition(":")[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert passed == told("A stroke, while learning is live")


@pytest.mark.long
def test_a_click_passes_the_modules_that_the_map_tells_of(qtbot):
    done = subprocess.run([sys.executable, SCRIPT, "click"], capture_output=True, text=True, timeout=PATIENCE / 1000)
    assert done.returncode == 0, done.stderr
    passed = [line.strip().partition(":")[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert passed == told("A click on *Segment*")
