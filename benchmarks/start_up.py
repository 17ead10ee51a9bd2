"""How long it takes until something happens: importing the package, and commands that compute nothing.

    python benchmarks/start_up.py

Each row is the shortest of ten runs in a process of its own. Prints Markdown.
"""

from __future__ import annotations

import subprocess
import sys
import time

ROWS = {
    "Python alone": ["-c", "pass"],
    "`import napari_unetseg`": ["-c", "import napari_unetseg"],
    "`import napari_unetseg.api`": ["-c", "import napari_unetseg.api"],
    "`napari-unetseg --help`": ["-m", "napari_unetseg", "--help"],
    "`napari-unetseg models`": ["-m", "napari_unetseg", "models"],
}
RUNS = 10


def seconds(arguments: list[str]) -> float:
    """Wall-clock time of one run."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Measure every row and print the table."""
    print("| start | seconds | more than Python alone |")
    print("|---|---|---|")
    empty = None
    for name, arguments in ROWS.items():
        best = min(seconds(arguments) for _ in range(RUNS))
        empty = best if empty is None else empty
        print(f"| {name} | {best:.3f} | {best - empty:.3f} |")


if __name__ == "__main__":
    main()
