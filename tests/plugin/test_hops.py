"""The way of a stroke to its preview is short: counted in both processes of a real viewer."""

import subprocess
import sys
from pathlib import Path

import pytest

from support import PATIENCE

SCRIPT = Path(__file__).parents[2] / "benchmarks/hops.py"


@pytest.mark.long
def test_a_stroke_passes_few_modules_until_its_preview(qtbot):
    done = subprocess.run([sys.executable, SCRIPT, "stroke"], capture_output=True, text=True, timeout=PATIENCE / 1000)
    assert done.returncode == 0, done.stderr
    passed = [line.strip().partition(":")[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert passed[0] == "plugin.annotate.watch"
    assert "service.worker_process" in passed
    assert passed[-1] == "plugin.learn.layers"
