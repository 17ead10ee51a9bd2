"""The card inside every model file: what the model is, what it expects, and how good it was on held-out data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_unetseg.core.cleanup_steps import Step
from napari_unetseg.core.structure import Structure


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Normalisation(_Record):
    """How intensities become network input, per channel, over the whole volume.

    ``percentile``: `low` and `high` percentiles become 0 and 1 (not clipped). ``zscore``: mean 0, standard deviation 1.
    ``window``: the intensities `low` and `high` become 0 and 1, clipped (Hounsfield windows).
    """

    method: Literal["percentile", "zscore", "window"] = "percentile"
    low: float = 1.0
    high: float = 99.0


class VoxelSize(_Record):
    """The voxel size that the network was trained at, and where it is known to work."""

    spacing: tuple[float, float, float] = Field(description="z, y, x")
    unit: str
    smallest: tuple[float, float, float] | None = None
    largest: tuple[float, float, float] | None = None


class DataSource(_Record):
    """Where training images came from, and whom to credit."""

    name: str
    source: str
    licence: str
    credit: str = ""


class Score(_Record):
    """One figure, measured on images that training never saw."""

    held_out: str = Field(description="which images, in words")
    structure: str
    metric: str
    value: float
    images: int = Field(ge=1)


class ModelCard(_Record):
    """Everything about a model but its weights.

    Parameters
    ----------
    architecture : dict
        The fields of `engine.unet.UNetSettings`, as JSON.
    channels : tuple of str
        The input channels, in order. ``("grey",)`` also takes colour pictures, by their luminance.
    voxel_size : VoxelSize or None
        None where the network works on pixels of any size: nothing is resampled.
    structures : tuple of Structure
        In the order of their labels, 1, 2, ….
    patch : (z, y, x)
        The patch size of training.
    halo : (z, y, x)
        How many voxels around a tile the network needs to see (its measured, effective field of view).
    minimum_object : int
        Objects of fewer network voxels are dropped; 0 keeps all.
    cleanup : tuple of Step
        Clean-up that its results are given, in order. Steps in physical units need images with a voxel size.
    """

    format_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    title: str
    description: str
    version: str
    dimensions: Literal[2, 3]
    architecture: dict[str, object]
    channels: tuple[str, ...] = ("grey",)
    normalisation: Normalisation = Normalisation()
    voxel_size: VoxelSize | None = None
    structures: tuple[Structure, ...]
    patch: tuple[int, int, int]
    halo: tuple[int, int, int]
    minimum_object: int = 0
    cleanup: tuple[Step, ...] = ()
    training_data: tuple[DataSource, ...] = ()
    training: str = ""
    licence: str = ""
    scores: tuple[Score, ...] = ()
    known_failures: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _labels_are_in_order(self) -> Self:
        labels = [s.label for s in self.structures]
        if labels != list(range(1, len(labels) + 1)):
            raise ValueError(f"structures must be labelled 1, 2, … in order; got {labels}")
        return self

    @property
    def finds_objects(self) -> bool:
        """Whether the result can be numbered objects."""
        return any(s.seed_channel is not None for s in self.structures)
