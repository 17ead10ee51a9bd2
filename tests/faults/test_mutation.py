"""Mutations are the same ones for the same seed, and differ from what they were made of."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from faults.minimising import smaller
from faults.mutation import Mutator

RECORD: dict[str, Any] = {"name": "a", "shape": [4, 16, 16], "inner": {"size": 0.5, "is": True}, "none": None}


def test_a_seed_gives_the_same_mutations() -> None:
    one, two, other = (Mutator(random.Random(seed)) for seed in (1, 1, 2))
    made = [[m.json_text(RECORD) for _ in range(50)] for m in (one, two, other)]
    assert made[0] == made[1] != made[2]
    made_bytes = [[m.bytes(bytes(100)) for _ in range(50)] for m in (one, two, other)]
    assert made_bytes[0] == made_bytes[1] != made_bytes[2]


def test_json_is_changed_in_few_places_and_stays_json() -> None:
    mutator = Mutator(random.Random(0))
    before = json.dumps(RECORD)
    changed = [json.dumps(mutator.json(RECORD)) for _ in range(200)]
    assert json.dumps(RECORD) == before
    assert sum(text != before for text in changed) > 180
    assert all(json.loads(text) is not ... for text in changed)
    assert sum('"name": "a"' in text for text in changed) > 100


def test_what_comes_first_is_kept() -> None:
    mutator = Mutator(random.Random(0))
    assert all(mutator.bytes(b"head" + bytes(50), 4).startswith(b"head") for _ in range(200))


@pytest.mark.parametrize("needed", [b"x", b"", b"ab"])
def test_a_finding_is_made_as_small_as_what_it_takes(needed: bytes) -> None:
    assert smaller(b"00000a1111b" + bytes(1000) + b"x", lambda part: set(needed) <= set(part)) == needed
