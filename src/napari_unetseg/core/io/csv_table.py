"""Tables as CSV: one line a row, empty where a figure does not apply."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_unetseg.core.io.atomic import atomic_path

Row = Mapping[str, Any]


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows under the columns that occur in any of them, in the order in which they first do.

    None and NaN become empty cells, infinity ``inf``; numbers keep all their digits. No rows give an empty file.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        if columns:
            writer.writeheader()
        writer.writerows({column: _cell(value) for column, value in row.items()} for row in rows)


def _cell(value: object) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value
