"""The steps of clean-up as records: for model cards, settings, reports and the command line.

Sizes are in `unit`, a length; volumes in its cube (2D: areas in its square). ``pixel`` counts voxels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from napari_unetseg.core.units import parse_unit
from napari_unetseg.errors import SettingsError


def _spelled(unit: object) -> object:
    return parse_unit(unit) if isinstance(unit, str) else unit


Unit = Annotated[Literal["pixel", "nm", "µm", "mm", "cm", "m"], BeforeValidator(_spelled)]
LARGEST, SMALLEST = 1e9, 1e-9
"""Of any length, in its unit: beyond lies no image, and sums overflow."""


def _at_least(low: float) -> AfterValidator:
    """A check that is no part of the field's description: a form offers what makes sense."""

    def check(size: float) -> float:
        if size < low:
            raise ValueError(f"expected a number of {low:g} or more")
        return size

    return AfterValidator(check)


Length = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False), _at_least(SMALLEST)]
Volume = Annotated[float, Field(gt=0, le=LARGEST**3, allow_inf_nan=False), _at_least(SMALLEST**3)]
Share = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, lt=2**32)]
Certainty = Annotated[
    float,
    Field(gt=0.5, lt=1, description="Where there are no probabilities: how likely the labels are taken to be right."),
]


def _without_repeats(labels: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(labels))


class _Step(BaseModel):
    """`structures` are the labels to work on; empty means all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    structures: Annotated[tuple[Count, ...], AfterValidator(_without_repeats)] = ()


class Crf(_Step):
    """Make labels follow the image: neighbours that look alike should be alike (a conditional random field).

    `engine.inference.crf` does it. What is changed are the network's probabilities where they are at hand, else
    the labels, softened.
    """

    kind: Literal["crf"] = "crf"
    iterations: int = Field(default=5, ge=0, le=1000, description="Rounds of mean-field inference.")
    appearance: Weight = Field(default=3.0, description="Weight of neighbours that look alike.")
    contrast: Length = Field(
        default=0.3, description="How different neighbours may look: a part of the image's standard deviation."
    )
    smoothness: Weight = Field(default=3.0, description="Weight of the nearest neighbours, whatever they look like.")
    window: int = Field(
        default=3, ge=1, le=20, description="How far away neighbours may be, in sides of the finest voxel axis."
    )
    per_slice: bool = Field(default=False, description="Each slice by itself: faster, and for slices far apart.")
    certainty: Certainty = 0.7  # more certain ones hardly change; measured on distorted labels of hippocampi


class Prior(_Step):
    """Keep structures where they are likely to be: a probability map, or painted slices and what lies between.

    `core.postprocess.prior` does it. What is multiplied are the network's probabilities where they are at hand, else
    the labels, softened.
    """

    kind: Literal["prior"] = "prior"
    strength: Length = Field(default=1.0, description="Power of the prior: 1 is Bayes' rule, less trusts it less.")
    softness: Length = Field(
        default=3.0, description="Of painted slices: the distance from an outline at which the prior falls to 0.27."
    )
    unit: Unit = "pixel"
    certainty: Certainty = 0.9


class KeepLargest(_Step):
    """Keep the `parts` largest connected parts of each structure."""

    kind: Literal["keep_largest"] = "keep_largest"
    parts: int = Field(default=1, ge=1, lt=2**32, description="How many connected parts of each structure stay.")


class RemoveSmall(_Step):
    """Remove connected parts below a volume (2D: area)."""

    kind: Literal["remove_small"] = "remove_small"
    volume: Volume = Field(description="Connected parts below this size go.")
    unit: Unit = "pixel"


class FillHoles(_Step):
    """Fill background that a structure encloses, in 3D or in each slice by itself."""

    kind: Literal["fill_holes"] = "fill_holes"
    per_slice: bool = Field(default=False, description="Also holes that are open to another slice.")


class Smooth(_Step):
    """Give each voxel to the structure that prevails around it, by a Gaussian of standard deviation `radius`."""

    kind: Literal["smooth"] = "smooth"
    radius: Length = Field(description="Standard deviation of the Gaussian.")
    unit: Unit = "pixel"


class Dilate(_Step):
    """Grow structures by a distance into the background; where two meet, a voxel goes to the nearer one."""

    kind: Literal["dilate"] = "dilate"
    distance: Length = Field(description="How far structures grow.")
    unit: Unit = "pixel"


class Erode(_Step):
    """Remove the voxels from which something else than their structure is at most `distance` away."""

    kind: Literal["erode"] = "erode"
    distance: Length = Field(description="How far structures shrink.")
    unit: Unit = "pixel"


class Separate(_Step):
    """Cut one structure, or each numbered object, into objects that touch: a watershed from their thick cores.

    The cut follows the thinnest neck (``distance``), the strongest edge of the image (``edges``) or bright lines of
    it, such as stained membranes (``bright``). A neck cuts if both sides are thicker than it by `depth` in radius.
    """

    kind: Literal["separate"] = "separate"
    along: Literal["distance", "edges", "bright"] = Field(
        default="distance", description="Cut at thin necks, at edges of the image, or at bright lines of it."
    )
    depth: Length = Field(default=1.0, description="How much thicker than the neck both sides must be, in radius.")
    unit: Unit = "pixel"


class NumberParts(_Step):
    """Make every connected part of one structure a numbered object."""

    kind: Literal["number_parts"] = "number_parts"


class MergeTiles(_Step):
    """Join objects that were numbered tile by tile and meet at a tile's face, over `contact` of the smaller face."""

    kind: Literal["merge_tiles"] = "merge_tiles"
    tile: tuple[Count, Count, Count] = Field(description="Voxels of a tile along z, y and x.")
    contact: Share = Field(default=0.5, description="Join what meets on this share of the smaller face, or more.")


class Renumber(_Step):
    """Number objects 1, 2, … without gaps, in the order of their numbers."""

    kind: Literal["renumber"] = "renumber"


Step = Annotated[
    KeepLargest
    | RemoveSmall
    | FillHoles
    | Smooth
    | Dilate
    | Erode
    | Separate
    | NumberParts
    | MergeTiles
    | Renumber
    | Crf
    | Prior,
    Field(discriminator="kind"),
]
ProbabilityStep = Crf | Prior
"""Steps that change probabilities; the others change labels."""
STEPS: TypeAdapter[tuple[Step, ...]] = TypeAdapter(tuple[Step, ...])


def leading_probability_steps(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps at the beginning that change probabilities: a network's own hold only until labels are changed."""
    return tuple(takewhile(lambda step: isinstance(step, ProbabilityStep), steps))


def steps_to_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Plain records, one a step, in order."""
    return [step.model_dump(mode="json") for step in steps]


def steps_from_json(records: Iterable[dict[str, Any]]) -> tuple[Step, ...]:
    """Steps from plain records; raises `SettingsError` with one line where one is wrong."""
    try:
        return STEPS.validate_python(tuple(records))
    except ValidationError as error:
        first = error.errors()[0]
        place = " ".join(str(part) for part in first["loc"])
        raise SettingsError(f"Clean-up step {place}: {first['msg']}; got {first['input']!r}.") from error


def parse_step(text: str) -> Step:
    """Read a step as people type it: its kind, then its parameters, such as ``remove_small volume=10 unit=um``.

    Raises
    ------
    SettingsError
        If there is no such step or parameter, or a value is not allowed.
    """
    kind, *parameters = text.replace(":", " ").split() or [""]
    pairs = [parameter.partition("=") for parameter in parameters]
    if not all(value for _, _, value in pairs):
        raise SettingsError(f"Expected a step such as 'remove_small volume=10 unit=um'; got {text!r}.")
    lists = ("structures", "tile")
    fields = {name: value.split(",") if name in lists else value for name, _, value in pairs}
    return steps_from_json([{"kind": kind, **fields}])[0]
