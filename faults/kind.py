"""A kind of input: what valid ones look like, how they are mutated, and the door that they are fed to."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.mutation import Mutator

Files = dict[str, bytes]
"""An input: contents by the names of files."""
Samples = Sequence[Files]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Parameters
    ----------
    name : str
    weight : float
        Its share among all inputs, beside those of others.
    make : function
        Valid inputs, made with the program in an empty folder.
    mutate : function
        An input that is like a valid one, but for what the mutator changes.
    feed : function
        Hands the files of a folder to the program; raises what the program raises.
    """

    name: str
    weight: float
    make: Callable[[Path], Samples]
    mutate: Callable[[Mutator, Files], Files]
    feed: Callable[[Path], object]

    def input(self, samples: Samples, seed: int, number: int) -> Files:
        """Input number `number` of a run with that seed: always the same for the same samples."""
        mutator = Mutator(random.Random(f"{seed} {self.name} {number}"))
        return self.mutate(mutator, dict(mutator.choose.choice(samples)))


def share_out(kinds: Mapping[str, Kind], inputs: int) -> dict[str, int]:
    """How many inputs each kind gets, by its weight, at least one."""
    whole = sum(kind.weight for kind in kinds.values())
    return {name: max(1, round(inputs * kind.weight / whole)) for name, kind in kinds.items()}


def mutate_bytes(mutator: Mutator, files: Files) -> Files:
    """One of the files with a few bytes changed."""
    name = mutator.choose.choice(sorted(files))
    return files | {name: mutator.bytes(files[name])}
