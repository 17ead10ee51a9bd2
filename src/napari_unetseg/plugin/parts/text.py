"""Figures as people read them, and text of others as Qt shows it: as text, whatever it looks like."""

from __future__ import annotations

import html
from collections.abc import Sequence

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.text import display_text
from napari_unetseg.core.volume import Structure


def duration(seconds: float) -> str:
    """``8 s``, ``3 min``, ``2.5 h``; below one second, ``1 s``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def memory(count: float) -> str:
    """Bytes as ``350 kB``, ``12 MB`` or ``1.4 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.{1 if unit == 'GB' else 0}f} {unit}"
    return f"{count / 1e3:.0f} kB"


def lengths(shape: Sequence[int]) -> str:
    """``64 × 256 × 256``; a single slice is left out."""
    return " × ".join(str(length) for length in (shape[1:] if len(shape) == 3 and shape[0] == 1 else shape))


def voxel_size(grid: Grid, *, flat: bool = False) -> str:
    """``1.75 × 0.8 × 0.8 µm``, or that it is not known."""
    sizes = " × ".join(f"{size:.4g}" for size in grid.spacing[1 if flat else 0 :])
    return f"{sizes} {grid.unit}" if grid.is_physical else f"not known (ratio {sizes})"


def markup(text: object) -> str:
    """Text of others as a part of rich text: it is shown as it is."""
    return html.escape(display_text(text))


def without_marks(text: str) -> str:
    """A help text as people read it, without the marks of code that names of options have in it."""
    return text.replace("`", "")


def tip(*lines: object) -> str:
    """Lines with text of others as a tool tip.

    Qt takes a tool tip that looks like rich text for that. So this one is rich text always, and the lines are escaped.
    """
    return f"<qt>{'<br>'.join(map(markup, lines))}</qt>"


def legend(structures: Sequence[Structure]) -> str:
    """Structures' names, each behind a square of its colour, as rich text."""
    return "&nbsp; ".join(f'<span style="color:{s.colour}">■</span>&nbsp;{markup(s.name)}' for s in structures)


def card_lines(card: ModelCard) -> str:
    """A model's card in short, as rich text: what it is, what it finds, at which voxel size, how good it is."""
    lines = [markup(card.description), legend(card.structures), _trained(card)]
    if card.expected_dice:
        lines.extend(markup(f"Held out: {line}") for line in card.expected_words)
    elif card.scores:
        lines.append(markup(f"Held out: {_scores(card)}"))
    return "<br>".join(filter(None, lines))


def card_details(card: ModelCard) -> str:
    """The rest of a card, as a tool tip: what was held out, data and licences, where the model is known to fail."""
    held_out = card.expected_words or [
        f"{s.structure}: {s.metric} {s.value:.3f} on {s.held_out} ({s.images} images)" for s in card.scores
    ]
    data = [f"Trained on {d.name} ({d.source}), {d.licence}" for d in card.training_data]
    failures = [f"Known to fail: {text}" for text in card.known_failures]
    return tip(f"{card.title}, version {card.version}", *held_out, *data, *failures)


def _scores(card: ModelCard) -> str:
    """``nucleus Dice 0.30 to 0.86``: each figure from the worst to the best of the held-out sets."""
    values: dict[str, list[float]] = {}
    for score in card.scores:
        values.setdefault(f"{score.structure} {score.metric}", []).append(score.value)
    ranges = {what: sorted({f"{value:.2f}" for value in found}) for what, found in values.items()}
    return ", ".join(f"{what} {' to '.join(dict.fromkeys((r[0], r[-1])))}" for what, r in ranges.items())


def _trained(card: ModelCard) -> str:
    kind = f"{card.dimensions}D"
    if card.voxel_size is None:
        return f"{kind}, any voxel size"
    sizes = " × ".join(f"{size:.4g}" for size in card.voxel_size.spacing[3 - card.dimensions :])
    return f"{kind}, trained at {sizes} {card.voxel_size.unit}"
