"""Descriptors of the bundled models' training images: ``python -m training.descriptors --data DIR`` writes them.

They lie in one file beside the weights, ``appearances.json``, so that they can change without a model's file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.models.appearance import SIDE, appearance_of
from napari_unetseg.core.models.card import Appearance
from napari_unetseg.core.models.catalogue import APPEARANCES, BUNDLED, list_models
from napari_unetseg.engine.training.patches import Case

PLACES = 128
"""Places of the training images that are described, each whole and a part of it."""


def appearance_of_cases(cases: Sequence[Case]) -> Appearance:
    """What `PLACES` random places in slices look like; of every so many cases one, or several of each.

    Those of one case are a group; of a single case, those of one place.
    """
    random = np.random.default_rng(0)
    chosen = [place * len(cases) // PLACES for place in range(PLACES)]
    planes = [_plane(cases[index], random) for index in chosen]
    return appearance_of(planes, chosen if len(cases) > 1 else range(PLACES))


def _plane(case: Case, random: np.random.Generator) -> npt.NDArray[np.float32]:
    image = case.image.cpu().numpy()
    stack = image.reshape(len(image), -1, *image.shape[-2:])
    size = (1, SIDE, SIDE)
    room = [max(1, length - side + 1) for length, side in zip(stack.shape[1:], size, strict=True)]
    z, y, x = (int(start) for start in random.integers(room))
    plane: npt.NDArray[np.float32] = stack[0, z, y : y + SIDE, x : x + SIDE]
    return plane


def main() -> None:
    """Describe the training images of all bundled models but the starts, which are proposed for nothing."""
    from training.make_models import recipe_named

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the labelled sets")
    data = parser.parse_args().data
    names = [card.name for card in list_models() if not card.is_start]
    found = {name: appearance_of_cases(recipe_named(name).data(data).train) for name in names}
    lines = (f"{json.dumps(name)}:{one.model_dump_json()}" for name, one in found.items())
    with atomic_path(BUNDLED / APPEARANCES) as temporary:
        temporary.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
