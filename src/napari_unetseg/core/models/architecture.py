"""The architecture in a model's card, checked when the card is read: before a network is built of it.

What each field means is known to the network of that kind. Here it is known what no network can be: channels by the
million, kernels wider than an image, numbers that are none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import pydantic

LARGEST_NUMBER, LONGEST, DEEPEST = 1e9, 1000, 8
"""Of any field: numbers, texts and lists, and lists within lists."""
MOST = {
    "dimensions": 3, "inputs": 4096, "outputs": 65536, "channels": 4096, "hidden": 4096, "trees": 4096, "levels": 64,
    "widths": 4096, "pools": 16, "kernels": 31,
}  # fmt: skip
"""Fields of whole numbers, alone or in lists, and the largest."""
MAY_BE_ZERO = ("trees", "levels")
MOST_WEIGHTS = 2**29
"""2 GiB in float32: far more than a model that is trained beside a painter."""


class _Sizes(pydantic.BaseModel):
    """How deep the lists of whole numbers are, in a network and in those that it is made of."""

    widths: tuple[pydantic.StrictInt, ...] | None = None
    pools: tuple[tuple[pydantic.StrictInt, ...], ...] | None = None
    kernels: tuple[tuple[pydantic.StrictInt, ...], ...] | None = None
    dimensions: pydantic.StrictInt = 2


def check_architecture(fields: Mapping[str, Any]) -> dict[str, object]:
    """The fields as they are.

    Raises
    ------
    ValueError
        If a number, a list or the whole network is larger than any that can be, a count is no whole number, or
        something is no JSON.
    """
    try:
        _check("architecture", fields, 0)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}; got {first['input']!r}") from error
    weights = least_weights(fields)
    if weights > MOST_WEIGHTS:
        raise ValueError(f"the network would have {weights:,} weights; expected at most {MOST_WEIGHTS:,}")
    return dict(fields)


def least_weights(fields: Mapping[str, Any]) -> int:
    """How many weights a network with these ``widths`` has at least: a convolution from each level to the next.

    0 where there are no widths: of another kind of network it is not known. Raises `ValueError` where these, or the
    kernels, are no lists.
    """
    widths = fields.get("widths") or ()
    dimensions = fields.get("dimensions", 2)
    kernels = fields.get("kernels") or [[3] * dimensions] * len(widths)
    if not _are_lists(widths, kernels, *(kernels if isinstance(kernels, (list, tuple)) else ())):
        raise ValueError("widths and kernels: expected lists of numbers")
    steps = zip(itertools.pairwise(widths), kernels[1:], strict=False)
    return sum(math.prod(kernel) * above * below for (above, below), kernel in steps)


def _are_lists(*values: Any) -> bool:
    return all(isinstance(value, (list, tuple)) for value in values)


def _check(name: str, value: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise ValueError(f"{name} goes too deep")
    if isinstance(value, Mapping):
        _Sizes.model_validate(value)
        for key, inner in value.items():
            _check(str(key), inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        if len(value) > LONGEST:
            raise ValueError(f"{name} has {len(value)} entries; expected at most {LONGEST}")
        for inner in value:
            _check(name, inner, depth + 1)
    elif name in MOST and value is not None:
        _check_count(name, value)
    else:
        _check_plain(name, value)


def _check_count(name: str, value: Any) -> None:
    least = 0 if name in MAY_BE_ZERO else 1
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST[name]:
        raise ValueError(f"{name}: expected whole numbers from {least} to {MOST[name]}; got {value!r}")


def _check_plain(name: str, value: Any) -> None:
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise ValueError(f"{name} has {len(value)} characters; expected at most {LONGEST}")
    elif isinstance(value, (int, float)):
        if not abs(value) <= LARGEST_NUMBER:  # neither is "not a number"
            raise ValueError(f"{name}: expected a number up to {LARGEST_NUMBER:g}; got {value!r}")
    elif value is not None:
        raise ValueError(f"{name}: expected a number, a text or a list; got {type(value).__name__}")
