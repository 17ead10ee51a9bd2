"""Mutated inputs of every kind, each fed to the program in a process of its own: a result or a refusal is right.

``make fuzz``, or ``python -m faults.fuzz --inputs 10000 --seed 0``; ``--only journal,step`` takes these kinds. What is
neither (a traceback, a hang, memory, a process that ends) is a finding: made smaller, and saved below ``--findings``
with what went wrong; ``--again FOLDER`` feeds one again. The same seed gives the same inputs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from faults.kind import Kind, Samples, share_out
from faults.kinds.commands import COMMAND_KINDS
from faults.kinds.images import IMAGE_KINDS
from faults.kinds.messages import MESSAGE_KINDS
from faults.kinds.models import MODEL_KINDS
from faults.kinds.paint import PAINT_KINDS
from faults.minimising import minimised
from faults.sandbox import Case, Outcome, Sandbox, read_files, write_files

KINDS = {kind.name: kind for kind in (*PAINT_KINDS, *MODEL_KINDS, *MESSAGE_KINDS, *IMAGE_KINDS, *COMMAND_KINDS)}
IMPORTED = (
    "torch", "zarr", "tifffile", "skimage.measure", "scipy.ndimage", "imagecodecs", "cc3d", "edt", "fastremap",
    "yaozarrs", "SimpleITK", "PIL.Image", "napari_unetseg.api", "napari_unetseg.cli.app",
    "napari_unetseg.core.report.page", "napari_unetseg.service.jobs", "napari_unetseg.service.session_jobs",
    "napari_unetseg.service.metric_jobs", "napari_unetseg.engine.fewshot.replay",
    "napari_unetseg.engine.inference.predict",
    "napari_unetseg.engine.inference.crf", "napari_unetseg.engine.bioimageio.packages",
    "napari_unetseg.core.io.formats.dicom", "napari_unetseg.core.io.formats.nifti",
    "napari_unetseg.core.io.formats.ome_zarr", "napari_unetseg.core.io.formats.itk",
)  # fmt: skip
"""What forked workers have loaded already."""
MOST_MINIMISED = 40
"""Findings of different kinds; beyond so many there is something to mend first."""
SHOWN_EVERY = 500
"""Inputs of a kind."""


class Tally:
    """Counts of outcomes by kind of input, and one input for each kind of finding."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.findings: dict[tuple[str, str], tuple[Case, Outcome]] = {}

    def add(self, case: Case, outcome: Outcome) -> None:
        """Count an outcome; of equal findings the smallest input is kept."""
        self.counts[case.kind][outcome.verdict] += 1
        key = (case.kind, outcome.signature)
        if outcome.is_fault and (key not in self.findings or _size(case) < _size(self.findings[key][0])):
            self.findings[key] = (case, outcome)

    @property
    def lines(self) -> Iterator[str]:
        """A table of the counts."""
        yield f"{'kind':<12}{'inputs':>8}{'results':>9}{'refused':>9}{'findings':>10}"
        whole: Counter[str] = sum(self.counts.values(), Counter())
        for name, counts in (*sorted(self.counts.items()), ("all", whole)):
            shown = (counts["result"], counts["refused"], counts["fault"])
            yield f"{name:<12}{sum(counts.values()):>8}{shown[0]:>9}{shown[1]:>9}{shown[2]:>10}"


def made(kinds: Mapping[str, Kind]) -> dict[str, Samples]:
    """Valid inputs of each kind, made in a process of its own: this one must not have started threads when it forks."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "samples")
        process = multiprocessing.get_context("fork").Process(target=_make, args=(kinds, Path(folder), kept))
        process.start()
        process.join()
        if process.exitcode:
            raise RuntimeError("The valid inputs could not be made.")
        found: dict[str, Samples] = pickle.loads(kept.read_bytes())  # noqa: S301 - of our own process
        return found


def _make(kinds: Mapping[str, Kind], folder: Path, kept: Path) -> None:
    found = {}
    for kind in kinds.values():
        place = folder / kind.name
        place.mkdir()
        found[kind.name] = list(kind.make(place))
    kept.write_bytes(pickle.dumps(found))


def cases(kinds: Mapping[str, Kind], samples: Mapping[str, Samples], inputs: int, seed: int) -> Iterator[Case]:
    """The inputs of a run: first those that are valid, then mutated ones."""
    for name, kind in kinds.items():
        for number, files in enumerate(samples[name]):
            yield Case(name, -1 - number, dict(files))
        for number in range(share_out(kinds, inputs)[name]):
            yield Case(name, number, kind.input(samples[name], seed, number))


def fuzz(kinds: Mapping[str, Kind], inputs: int, seed: int, processes: int) -> Tally:
    """Feed so many inputs to the program, and tell what became of them.

    A fault counts if it comes again in a fresh process; and valid inputs must give results.
    """
    samples, tally = made(kinds), Tally()
    with Sandbox(kinds, processes) as pool, Sandbox(kinds) as again:
        for case, outcome in pool.run(cases(kinds, samples, inputs, seed)):
            if outcome.is_fault:
                outcome = again.feed(case)
            if case.number < 0 and outcome.verdict == "refused":
                outcome = Outcome("fault", f"A valid input is refused: {outcome.details}", outcome.details)
            tally.add(case, outcome)
            if case.number >= 0 and (case.number + 1) % SHOWN_EVERY == 0:
                print(f"{case.kind}: {case.number + 1} inputs, {len(tally.findings)} findings so far", flush=True)
    return tally


def save(tally: Tally, kinds: Mapping[str, Kind], folder: Path, seed: int) -> None:
    """Make each finding smaller, and save it with what went wrong."""
    with Sandbox(kinds) as pool:
        for case, outcome in list(tally.findings.values())[:MOST_MINIMISED]:
            small, found = minimised(pool, case, outcome)
            place = folder / f"{case.kind}-{seed}-{case.number}"
            write_files(place, small.files)
            facts = {"kind": case.kind, "seed": seed, "number": case.number, "fault": found.signature}
            write_files(
                folder, {f"{place.name}.json": json.dumps(facts | {"details": found.details}, indent=1).encode()}
            )
            print(f"{case.kind}, input {case.number}: {found.signature}\n  {place}")


def _size(case: Case) -> int:
    return sum(map(len, case.files.values()))


def _feed_again(folder: Path) -> int:
    """Feed the files of a folder that `save` made; its name begins with the kind."""
    name = max((name for name in KINDS if folder.name.startswith(name)), key=len)
    with Sandbox({name: KINDS[name]}) as pool:
        outcome = pool.feed(Case(name, 0, read_files(folder)))
    print(f"{outcome.verdict} {outcome.signature}\n{outcome.details}")
    return int(outcome.is_fault)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code, 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz_findings"))
    parser.add_argument("--again", type=Path)
    given = parser.parse_args(arguments)
    prepare()
    if given.again:
        return _feed_again(given.again)
    kinds = {name: KINDS[name] for name in given.only.split(",")}
    began = time.monotonic()
    tally = fuzz(kinds, given.inputs, given.seed, given.processes)
    print("\n".join(tally.lines))
    print(f"{time.monotonic() - began:.0f} s, seed {given.seed}, {len(tally.findings)} kinds of findings")
    save(tally, kinds, given.findings, given.seed)
    return int(bool(tally.findings))


def prepare() -> None:
    """Import what inputs need, once, before processes are forked."""
    for name in IMPORTED:
        __import__(name)


if __name__ == "__main__":
    sys.exit(main())
