"""The card inside every model file: what the model is, what it expects, and how good it was on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from napari_unetseg.core.annotations.expected_dice import ExpectedDice
from napari_unetseg.core.models.architecture import MOST, check_architecture
from napari_unetseg.core.steps import Step, Unit
from napari_unetseg.core.volume import Structure

Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Spacing = tuple[Size, Size, Size]
Side = Annotated[int, Field(ge=1, le=65536)]
Margin = Annotated[int, Field(ge=0, le=65536)]
Index = Annotated[int, Field(ge=0, lt=2**31)]
ImageDescriptor = tuple[Annotated[float, Field(allow_inf_nan=False)] | None, ...]
"""The appearance of a slice, in numbers; see `core.models.appearance`."""


U_NET, PIXEL_CLASSIFIER = "unet", "light"
"""Kinds of networks, as cards spell them; `engine.networks.registry` knows all."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(_Record):
    """How intensities become network input, per channel, over the whole volume.

    ``percentile``: `low` and `high` percentiles become 0 and 1 (not clipped). ``zscore``: mean 0, standard deviation 1.
    ``window``: the intensities `low` and `high` become 0 and 1, clipped (Hounsfield windows).
    """

    method: Literal["percentile", "zscore", "window"] = "percentile"
    low: FiniteFloat = 1.0
    high: FiniteFloat = 99.0

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.method != "zscore" and not self.low < self.high:
            raise ValueError(f"low must be below high; got {self.low:g} and {self.high:g}")
        if self.method == "percentile" and not 0 <= self.low < self.high <= 100:
            raise ValueError(f"percentiles lie from 0 to 100; got {self.low:g} and {self.high:g}")
        return self


class VoxelSize(_Record):
    """The voxel size that the network was trained at."""

    spacing: Spacing = Field(description="z, y, x")
    unit: Unit

    @model_validator(mode="before")
    @classmethod
    def _without_limits(cls, fields: Any) -> Any:
        """Cards of earlier versions also name a smallest and a largest size, which nothing goes by."""
        if not isinstance(fields, Mapping):
            return fields
        return {name: value for name, value in fields.items() if name not in ("smallest", "largest")}


class DataSource(_Record):
    """Where training images came from, and whom to credit."""

    name: str
    source: str
    licence: str
    credit: str = ""


class Appearance(_Record):
    """What training images look like.

    Parameters
    ----------
    version : int
        Of what the numbers mean.
    descriptors : tuple of ImageDescriptor
        Of slices and of parts of them.
    groups : tuple of int
        For each, of which image or place it is: those of one group do not tell how much images differ.
    """

    version: Index
    descriptors: tuple[ImageDescriptor, ...]
    groups: tuple[Index, ...]

    @model_validator(mode="after")
    def _is_a_table(self) -> Self:
        if len(self.groups) != len(self.descriptors) or len({len(one) for one in self.descriptors}) > 1:
            raise ValueError("expected descriptors of one length, with a group for each")
        return self

    @property
    def table(self) -> npt.NDArray[np.float64]:
        """The descriptors as an array (descriptors, numbers); NaN where a slice was too small for a number."""
        numbers = len(self.descriptors[0]) if self.descriptors else 0
        return np.array(self.descriptors, np.float64).reshape(-1, numbers)


class VerificationSet(_Record):
    """Images that training never saw, where they lie in a folder of labelled sets, and how a model is scored on them.

    Parameters
    ----------
    name : str
        What the card's scores call them: ``"fluorescence"``.
    images : str
        Pattern of their paths below the folder: ``"nuclei2d/fluo_*_image.tif"``.
    labels : (part, replacement)
        Of an image's path, which gives that of its labels: ``("_image", "_label")``.
    every : int
        Of the images in the order of their paths, the n-th, the 2 n-th, … are held out; 1 takes all of them.
    begins : tuple of str
        How the names of those held out begin; empty takes all of them.
    axis, part : str and (start, stop), or None
        Only this part of each image along one axis is held out, in voxels.
    slices : int
        Every n-th z slice of the part is an image of its own; 0 keeps stacks whole.
    spacing, unit : (z, y, x) and str, or None
        The voxel size, instead of the files' own.
    measure : str
        ``classes``: Dice per structure. ``objects``: Dice, and F1 of numbered objects at IoU 0.5. ``boundary``: Dice,
        and boundary Dice within 2 voxels.
    truth : str
        ``labels``: the structures, as the labels have them. ``foreground``: every label is structure 1. ``gaps``:
        structure 1 is where the labels are 0, as membranes between numbered cells are.
    """

    name: str
    images: str
    labels: tuple[str, str] = ("_image", "_label")
    every: int = Field(default=1, ge=1, lt=2**31)
    begins: tuple[str, ...] = ()
    axis: Literal["z", "y", "x"] | None = None
    part: tuple[Index, Index] | None = None
    slices: Index = 0
    spacing: Spacing | None = None
    unit: Unit | None = None
    measure: Literal["classes", "objects", "boundary"] = "classes"
    truth: Literal["labels", "foreground", "gaps"] = "labels"

    @model_validator(mode="after")
    def _stays_below_its_folder(self) -> Self:
        if self.images.startswith("/") or ".." in (*self.images.split("/"), *self.labels[1].split("/")):
            raise ValueError(f"images and labels must lie below the folder; got {self.images!r}, {self.labels}")
        return self


class Score(_Record):
    """One figure, measured on images that training never saw."""

    held_out: str = Field(description="which images, in words")
    structure: str
    metric: str
    value: FiniteFloat
    images: int = Field(ge=1, lt=2**31)


class ModelCard(_Record):
    """Everything about a model but its weights.

    Parameters
    ----------
    architecture : dict
        The network's settings as JSON: its ``kind``, by which `engine.networks.registry` knows it, and its fields.
    channels : tuple of str
        The input channels, in order. ``("grey",)`` also takes colour pictures, by their luminance.
    voxel_size : VoxelSize or None
        None where the network works on pixels of any size: nothing is resampled.
    structures : tuple of Structure
        In the order of their labels, 1, 2, …; none for a start to learn from.
    patch : (z, y, x)
        The patch size of training.
    halo : (z, y, x)
        How many voxels around a tile the network needs to see (its measured, effective field of view).
    minimum_object : int
        Objects of fewer network voxels are dropped; 0 keeps all.
    cleanup : tuple of Step
        Clean-up that its results are given, in order. Steps in physical units need images with a voxel size.
    looks : tuple of ImageDescriptor
        Of training images, as earlier versions described them; nothing goes by it any more.
    appearance : Appearance or None
        Of training images: a model is proposed for images that look like these. Those of the bundled models lie beside
        them, in one file.
    expected_dice : dict
        Of a model that learned from paint: what held-out strokes say, and how far that may be off, by output label.
    held_out : tuple of VerificationSet
        The images that `scores` were measured on, so that anyone who has them can measure again.
    """

    format_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    description: str
    version: str
    dimensions: Literal[2, 3]
    architecture: Annotated[dict[str, object], AfterValidator(check_architecture)]
    channels: tuple[str, ...] = Field(default=("grey",), min_length=1)
    normalisation: Normalisation = Normalisation()
    voxel_size: VoxelSize | None = None
    structures: tuple[Structure, ...]
    patch: tuple[Side, Side, Side]
    halo: tuple[Margin, Margin, Margin]
    minimum_object: Index = 0
    cleanup: tuple[Step, ...] = ()
    training_data: tuple[DataSource, ...] = ()
    training: str = ""
    looks: tuple[ImageDescriptor, ...] = ()
    appearance: Appearance | None = None
    licence: str = ""
    scores: tuple[Score, ...] = ()
    expected_dice: dict[Index, ExpectedDice] = {}
    held_out: tuple[VerificationSet, ...] = ()
    known_failures: tuple[str, ...] = ()

    @field_validator("architecture")
    @classmethod
    def _names_its_kind(cls, architecture: dict[str, object]) -> dict[str, object]:
        if "kind" not in architecture:
            raise ValueError(f"expected the name of its kind among its fields; got {', '.join(architecture)}")
        return architecture

    @model_validator(mode="after")
    def _labels_are_in_order(self) -> Self:
        labels = [s.label for s in self.structures]
        if labels != list(range(1, len(labels) + 1)):
            raise ValueError(f"structures must be labelled 1, 2, … in order; got {labels}")
        return self

    @model_validator(mode="after")
    def _structures_are_not_the_background(self) -> Self:
        for structure in self.structures:
            outputs = (*structure.channels, *(() if structure.seed_channel is None else (structure.seed_channel,)))
            if not all(1 <= output <= MOST["outputs"] for output in outputs):
                raise ValueError(f"{structure.name} has the network's outputs {outputs}; expected numbers from 1 on")
        return self

    @property
    def expected_words(self) -> list[str]:
        """A line for each structure that was held out of the paint: ``axon: Dice 0.8 (0.6–0.9) on …``."""
        names = {structure.label: structure.name for structure in self.structures}
        found = sorted(self.expected_dice.items())
        return [f"{names.get(label, f'structure {label}')}: Dice {dice.words}" for label, dice in found]

    @property
    def finds_objects(self) -> bool:
        """Whether the result can be numbered objects."""
        return any(s.seed_channel is not None for s in self.structures)

    @property
    def is_start(self) -> bool:
        """Whether it is only a start to learn from: it names no structure, so it finds none."""
        return not self.structures
