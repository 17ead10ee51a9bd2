"""The general 2D start without generated shapes: what it is compared with. It is not bundled."""

from dataclasses import replace
from functools import partial

from training.recipes.general_2d import RECIPE as FULL
from training.tasks import HEADS_2D, HeadsLoss, general_2d

RECIPE = replace(
    FULL,
    name="general-2d-real",
    data=partial(general_2d, generated=False),
    network=replace(FULL.network, outputs=sum(HEADS_2D[:-1])),
    sources=FULL.sources[:-1],
    training="Twelve tasks with a head each: the training parts of twelve labelled sets, in slices.",
    loss=HeadsLoss(HEADS_2D[:-1]),
)
