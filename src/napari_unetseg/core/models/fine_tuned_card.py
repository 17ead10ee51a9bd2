"""Settings of fine-tuning, and the card of what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from napari_unetseg.core.models.appearance import appearance_of_volumes
from napari_unetseg.core.models.card import PIXEL_CLASSIFIER, DataSource, ModelCard, Normalisation, Score, VoxelSize
from napari_unetseg.core.models.catalogue import BUNDLED
from napari_unetseg.core.settings import check_limits, setting
from napari_unetseg.core.steps import Step
from napari_unetseg.core.volume import Labels, Structure, Volume, default_colour
from napari_unetseg.errors import SettingsError

PAINTED = "painted by the user"
"""The source, in a card, of images that were painted here."""
MINUTES = 1.0
MOST_WEIGHT = 5.0
STARTS = ("general-2d", "nuclei-2d", "axon-myelin-2d")  # the most general first


@dataclass(frozen=True)
class FineTuneSettings:
    """How long to learn from paint, and where.

    Raises
    ------
    SettingsError
        If both steps and minutes are given, minutes are not above 0, steps are below, or a weight is out of its range.
    """

    minutes: float | None = setting(None, "Minutes to learn, all in all. 1 where neither minutes nor steps are given.")
    steps: int | None = setting(None, "Steps to train the U-Net, instead of minutes. 0: the light head alone.")
    device: str = setting("auto", "Where to compute: auto, cpu, cuda, cuda:1, mps. auto takes a GPU if there is one.")
    seed: int = setting(0, "Seed of everything random. The same seed and steps give the same model on a CPU.")

    structure_weight: float = setting(
        1.0,
        "Weight of structures' painted voxels, 1 to 5; those of background have 1.",
        label="Structures", limits=(1.0, MOST_WEIGHT), step=0.5, unit="×",
    )  # fmt: skip
    boundary_weight: float = setting(
        0.0,
        "Share of the loss, 0 to 1, that painted boundaries between classes have.",
        label="Boundaries", limits=(0.0, 1.0), step=0.1,
    )  # fmt: skip
    learning_rate: float = setting(
        1.0,
        "Factor of the U-Net's learning rate, 0.1 to 2: below 1 it learns more slowly and steadily.",
        label="Learning rate", limits=(0.1, 2.0), step=0.1, unit="×",
    )  # fmt: skip
    whole: bool = setting(
        False, "Train the U-Net to begin with itself, not one beside it. A 3D one always is.", label="the start itself"
    )
    keep_structures: bool = setting(
        False,
        "Go on with the structures of the model to begin with: those that are not painted stay as they are.",
        label="and keep its structures",
    )
    corrects: bool = setting(
        False,
        "The paint corrects a result of the model to begin with: where nothing is painted, what it found stays.",
        label="its result is corrected",
    )
    several_scales: bool = setting(False, "Learn from the paint at several magnifications: for objects of many sizes.")

    def __post_init__(self) -> None:
        check_limits(self)
        if self.minutes is not None and self.steps is not None:
            raise SettingsError("Expected minutes or steps, not both.")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise SettingsError(f"Expected minutes above 0; got {self.minutes}.")
        if self.steps is not None and self.steps < 0:
            raise SettingsError(f"Expected steps of 0 or more; got {self.steps}.")
        if (self.minutes, self.steps) == (None, None):
            object.__setattr__(self, "minutes", MINUTES)


@dataclass(frozen=True)
class LearnedNetwork:
    """A network that learned from sparse labels, as its card describes it.

    Parameters
    ----------
    architecture : mapping
        Its settings, as JSON has them.
    outputs : int
        Background included.
    dimensions : 2 or 3
    channels : tuple of str
        Of the images that it takes.
    voxel_size : VoxelSize or None
        That images are brought to; None: they are taken as they are.
    patch, halo : (z, y, x)
    keeps : bool
        Whether it goes on with the structures of the model that it began with, and others follow them.
    """

    architecture: Mapping[str, object]
    outputs: int
    dimensions: int
    channels: tuple[str, ...]
    voxel_size: VoxelSize | None = None
    patch: tuple[int, int, int] = (1, 96, 96)
    halo: tuple[int, int, int] = (0, 32, 32)
    keeps: bool = False


@dataclass(frozen=True)
class LearnedFrom:
    """What a network learned from, for its card.

    Parameters
    ----------
    volumes : sequence of Volume
    voxels : int
        Painted voxels.
    images : int
        Images that have paint.
    names : mapping
        Names of structures by output label.
    dice : mapping
        Held-out Dice by structure label; of the model as it was before it saw the held-out paint.
    """

    volumes: Sequence[Volume]
    voxels: int
    images: int
    names: Mapping[int, str]
    dice: Mapping[int, float]


def starting_model(cards: Sequence[ModelCard]) -> str | None:
    """The bundled model that learning begins with where none is named; None where there is no fitting one."""
    names = {card.name for card in cards if card.dimensions == 2 and len(card.channels) == 1}
    return next((name for name in STARTS if name in names), None)


def why_nothing_is_kept(start: ModelCard | None, *, objects: bool = False) -> str | None:
    """Why `keep_structures` cannot be asked for with this model to begin with, in one line; None where it can.

    A frozen copy of the U-Net says what stays: so it has to be one, and each of its structures a single output. With
    `objects`, bodies and cores may be two: corrections do not say which of them a voxel is.
    """
    if start is None:
        return "Learning begins with nothing: there is nothing to keep."
    if start.architecture["kind"] == PIXEL_CLASSIFIER:
        return f"{start.title}: made by painting, not a whole U-Net, so its structures cannot be kept."
    if not start.structures:
        return f"{start.title}: finds no structures by itself, so there is nothing to keep."
    if not objects and any(s.channels != (s.label,) or s.seed_channel is not None for s in start.structures):
        return f"{start.title}: finds separate objects, and these cannot be kept."
    return None


def why_not_begun_with(start: ModelCard | None, channels: int, *, is_2d: bool) -> str | None:
    """Why one cannot learn from a model on such images; None where one can.

    A 2D model lends its features, channel by channel. A 3D one is trained itself, so it has to see the image.
    """
    if start is None or start.dimensions == 2 or start.architecture["kind"] == PIXEL_CLASSIFIER:
        return None
    if is_2d and not start.is_start:
        return f"{start.title}: needs a stack of slices, and the image is one slice."
    if channels != len(start.channels):
        takes = f"{len(start.channels)} channel{'' if len(start.channels) == 1 else 's'}"
        return f"{start.title}: takes {takes}, and the image has {channels}. Choose among its channels, or a 2D start."
    return None


def structures_of(count: int, names: Mapping[int, str] | None = None) -> tuple[Structure, ...]:
    """Structures 1 … `count`, each one network output; `names` by label, else ``structure 1``, ….

    The colours are those that colour-blind people tell apart, over and over.
    """
    return tuple(
        Structure(
            label=label,
            name=(names or {}).get(label, f"structure {label}"),
            colour=default_colour(label),
            channels=(label,),
        )
        for label in range(1, count + 1)
    )


def model_name(text: str) -> str:
    """A name that a card allows: lower case, digits, dots and dashes; ``painted`` where nothing is left."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.") or "painted"


def fine_tuned_card(network: LearnedNetwork, learned: LearnedFrom, pretrained: ModelCard | None) -> ModelCard:
    """The card of a network that learned from sparse labels, beginning with `pretrained`."""
    first = learned.volumes[0]
    names = ", ".join(volume.name for volume in learned.volumes)
    size = " × ".join(f"{length:.3g}" for length in first.grid.spacing)
    begun = pretrained.name if pretrained is not None else "nothing"
    structures = structures_of(network.outputs - 1, learned.names)
    if network.keeps and pretrained is not None:
        structures = (*pretrained.structures, *_added(network, learned, pretrained))
    return ModelCard(
        name=model_name(first.name),
        title=f"Painted on {names}",
        description=f"Learned from {learned.voxels} painted voxels of {learned.images} image(s).",
        version="1",
        dimensions=network.dimensions,
        architecture=dict(network.architecture),
        channels=network.channels,
        voxel_size=network.voxel_size,
        normalisation=pretrained.normalisation if pretrained is not None else Normalisation(),
        structures=structures,
        patch=network.patch,
        halo=network.halo,
        training_data=(
            DataSource(name=names, source=PAINTED, licence="the user's own"),
            *(pretrained.training_data if pretrained is not None else ()),
        ),
        training=f"Began with {begun}; voxels of {size} {first.grid.unit}.",
        licence=pretrained.licence if pretrained is not None else "the user's own",
        scores=_scores(structures, learned),
    )


def _added(network: LearnedNetwork, learned: LearnedFrom, pretrained: ModelCard) -> tuple[Structure, ...]:
    """Structures that follow those of the model to begin with, each one output behind its."""
    kept = len(pretrained.structures)
    outputs = 1 + max(channel for structure in pretrained.structures for channel in structure.channels)
    added = structures_of(kept + network.outputs - outputs, learned.names)[kept:]
    return tuple(s.model_copy(update={"channels": (s.label - kept - 1 + outputs,)}) for s in added)


def _scores(structures: Sequence[Structure], learned: LearnedFrom) -> tuple[Score, ...]:
    names = {structure.label: structure.name for structure in structures}
    return tuple(
        Score(
            held_out="a part of the paint, before the model saw it",
            structure=names.get(label, f"structure {label}"),
            metric="Dice",
            value=round(value, 4),
            images=learned.images,
        )
        for label, value in sorted(learned.dice.items())
    )


def written_card(card: ModelCard, stem: str, volumes: Sequence[Volume], cleanup: Sequence[Step] = ()) -> ModelCard:
    """A card as its file has it: named after the file, and with the descriptors of what the model learned from.

    `cleanup` are the steps that its results go through; without, they are those of the model that it began with.
    """
    added = {"cleanup": tuple(cleanup)} if cleanup else {}
    return card.model_copy(update={"name": model_name(stem), "appearance": appearance_of_volumes(volumes), **added})


def anonymous_card(card: ModelCard) -> ModelCard:
    """A card without names of files: neither those of painted images, nor of a model of the user to begin with."""
    if not any(data.source == PAINTED for data in card.training_data):
        return card
    data = tuple(
        entry.model_copy(update={"name": "images of the user"}) if entry.source == PAINTED else entry
        for entry in card.training_data
    )
    begun, separator, rest = card.training.partition(";")
    bundled = {f"Began with {path.stem}" for path in BUNDLED.glob("*.safetensors")} | {"Began with nothing"}
    training = card.training if begun in bundled else f"Began with a model of the user{separator}{rest}"
    return card.model_copy(update={"title": "Painted by the user", "training_data": data, "training": training})


def anonymous_labels(labels: Labels) -> Labels:
    """A result whose record does not name a model of the user; a bundled one is named."""
    made_by = labels.made_by
    if made_by is None or (BUNDLED / f"{made_by.name}.safetensors").is_file():
        return labels
    return replace(labels, made_by=made_by.model_copy(update={"name": "a model of the user"}))


def renamed_card(card: ModelCard, names: Mapping[int, str]) -> ModelCard:
    """A card with other names of structures, in its scores too."""
    new = {structure.name: names.get(structure.label, structure.name) for structure in card.structures}
    structures = tuple(s.model_copy(update={"name": new[s.name]}) for s in card.structures)
    scores = tuple(s.model_copy(update={"structure": new.get(s.structure, s.structure)}) for s in card.scores)
    return card.model_copy(update={"structures": structures, "scores": scores})
