"""The option ``finetune --session``: a session that was recorded in napari, again without it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_unetseg.cli import terminal


def replay(session: Path, out: Path, inputs: Sequence[Path]) -> dict[str, Any]:
    """Make the session's model again, and return the record for programs."""
    from napari_unetseg import api

    began = time.perf_counter()
    with terminal.warnings_as_notes(), terminal.progress_bar("session") as show:
        done = api.replay(session, out, inputs, show)
    for line in done.notes:
        terminal.note(f"note: {line}")
    seconds = time.perf_counter() - began
    return {"model": str(out), "steps": done.steps, "held_out_dice": done.version.mean_dice, "seconds": seconds}
