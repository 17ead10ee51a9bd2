"""One U-Net for two and three dimensions, from the published networks to the padded default of this program."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.padding import mirror_pad
from napari_unetseg.errors import SettingsError

Step = tuple[int, ...]
Norm = Literal["none", "batch", "instance", "group"]
CONVOLUTION: dict[int, Any] = {2: nn.Conv2d, 3: nn.Conv3d}
UP_CONVOLUTION: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
POOLING: dict[int, Any] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
BATCH_NORM: dict[int, Any] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORM: dict[int, Any] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


@dataclass(frozen=True)
class UNetSettings:
    """Everything that defines a U-Net; JSON-able, so that a model's card can hold it.

    Parameters
    ----------
    dimensions : 2 or 3
    inputs, outputs : int
        Channels in, classes out.
    widths : tuple of int
        Channels of each level, finest first; the last is the bottom.
    pools : tuple of tuples of int
        Pooling factor per axis between levels, ``len(widths) - 1`` of them. Empty means 2 everywhere.
    kernels : tuple of tuples of int
        Kernel per axis of each level. Empty means 3 everywhere.
    padded : bool
        True keeps the size and takes any input size; False is the published, unpadded network.
    norm : str
        ``instance`` and ``group`` do not depend on the batch. ``batch`` folds into the convolutions for prediction and
        does not depend on the tile either: the bundled models use it.
    norm_affine, conv_bias, up_bias : bool
        Whether normalisation scales and shifts, and which convolutions have a bias.
    widen_early : bool
        False: a level's first convolution widens (U-Net 2015). True: the second does, before the pooling (3D U-Net).
    up_halves : bool
        Whether an up-convolution goes to the width of the level above (U-Net 2015) or keeps its own (3D U-Net).
    dropout : float
        Probability at the bottom, as in U-Net 2015.

    Raises
    ------
    SettingsError
        If the numbers do not fit together.

    References
    ----------
    U-Net: arXiv 1505.04597. 3D U-Net: arXiv 1606.06650.
    """

    kind: ClassVar[str] = "unet"

    dimensions: int = 2
    inputs: int = 1
    outputs: int = 2
    widths: tuple[int, ...] = (32, 64, 128, 256)
    pools: tuple[Step, ...] = ()
    kernels: tuple[Step, ...] = ()
    padded: bool = True
    norm: Norm = "instance"
    norm_affine: bool = True
    conv_bias: bool = True
    up_bias: bool = True
    widen_early: bool = False
    up_halves: bool = True
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise SettingsError(f"Expected 2 or 3 dimensions; got {self.dimensions}.")
        if len(self.widths) < 2 or min(*self.widths, self.inputs, self.outputs) < 1:
            raise SettingsError(f"Expected two levels or more, with 1 channel or more; got {self.widths}.")
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "pools", self._steps(self.pools, len(self.widths) - 1, 2, "pools"))
        object.__setattr__(self, "kernels", self._steps(self.kernels, len(self.widths), 3, "kernels"))
        if any(k % 2 == 0 for kernel in self.kernels for k in kernel):
            raise SettingsError(f"Expected odd kernels; got {self.kernels}.")
        if not 0 <= self.dropout < 1:
            raise SettingsError(f"Expected a dropout from 0 to below 1; got {self.dropout}.")

    def _steps(self, steps: tuple[Step, ...], count: int, default: int, name: str) -> tuple[Step, ...]:
        steps = tuple(tuple(s) for s in steps) or ((default,) * self.dimensions,) * count
        if len(steps) != count or any(len(s) != self.dimensions or min(s) < 1 for s in steps):
            raise SettingsError(f"Expected {count} {name} of {self.dimensions} numbers above 0; got {steps}.")
        return steps

    @property
    def stride(self) -> Step:
        """Product of the poolings per axis: padded input is a multiple of it, tiles begin at multiples of it."""
        return tuple(math.prod(axis) for axis in zip(*self.pools, strict=True))

    def to_json(self) -> dict[str, Any]:
        """Plain fields for a model's card."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> UNetSettings:
        """Settings from a card; raises `SettingsError` on a field that this version does not know."""
        try:
            return cls(**{name: value for name, value in fields.items() if name != "kind"})
        except TypeError as error:
            raise SettingsError(
                f"The model's architecture has fields that this version does not know: {error}."
            ) from error


def unet_2015(inputs: int = 1, outputs: int = 2) -> UNetSettings:
    """The network of arXiv 1505.04597: 572² in, 388² out, 31,030,658 parameters."""
    return UNetSettings(2, inputs, outputs, widths=(64, 128, 256, 512, 1024), padded=False, norm="none", dropout=0.5)


def unet3d_2016(inputs: int = 3, outputs: int = 3) -> UNetSettings:
    """The network of arXiv 1606.06650: 132×132×116 in, 44×44×28 out, 19,069,955 parameters."""
    return UNetSettings(
        3, inputs, outputs, widths=(64, 128, 256, 512), padded=False, norm="batch", norm_affine=False,
        up_bias=False, widen_early=True, up_halves=False,
    )  # fmt: skip


def settings_for_spacing(
    spacing: tuple[float, ...], inputs: int, outputs: int, widths: tuple[int, ...], norm: Norm = "instance"
) -> UNetSettings:
    """A padded U-Net whose kernels and poolings follow the voxel size.

    An axis is left out of kernels and poolings as long as its spacing is at least twice the finest one; each pooling
    halves the resolution of the others, until the voxels are nearly cubes. So 1:1, 1:3 and 1:10 are all natural (the
    rule of nnU-Net, DOI 10.1038/s41592-020-01008-z).

    Parameters
    ----------
    spacing : (z, y, x) or (y, x)
        Any unit: only ratios count.
    """
    current, pools, kernels = list(spacing), [], []
    for _ in widths:
        finest = min(current)
        near = [size < 2 * finest for size in current]
        kernels.append(tuple(3 if n else 1 for n in near))
        pools.append(tuple(2 if n else 1 for n in near))
        current = [size * step for size, step in zip(current, pools[-1], strict=True)]
    return UNetSettings(len(spacing), inputs, outputs, widths, tuple(pools[:-1]), tuple(kernels), norm=norm)


def _norm(settings: UNetSettings, width: int) -> nn.Module:
    if settings.norm == "batch":
        module: nn.Module = BATCH_NORM[settings.dimensions](width, affine=settings.norm_affine)
    elif settings.norm == "instance":
        module = INSTANCE_NORM[settings.dimensions](width, affine=settings.norm_affine)
    elif settings.norm == "group":
        module = nn.GroupNorm(math.gcd(8, width), width, affine=settings.norm_affine)
    else:
        module = nn.Identity()
    return module


class ConvBlock(nn.Sequential):
    """Convolution, normalisation, ReLU."""

    def __init__(self, settings: UNetSettings, level: int, inputs: int, outputs: int) -> None:
        kernel = settings.kernels[level]
        padding = tuple(k // 2 if settings.padded else 0 for k in kernel)
        conv = CONVOLUTION[settings.dimensions](inputs, outputs, kernel, padding=padding, bias=settings.conv_bias)
        super().__init__(conv, _norm(settings, outputs), nn.ReLU(inplace=True))


class UNet(Network):
    """The network that `settings` describe.

    Input is (N, inputs, [Z,] Y, X), output (N, outputs, [Z,] Y, X): class scores before the softmax. A padded network
    takes any size: it is mirrored up to a multiple of the stride and cropped again. An unpadded one returns the
    smaller, central part that it sees in full, and raises `SettingsError` for a size that does not pool evenly.
    """

    settings: UNetSettings

    def __init__(self, settings: UNetSettings) -> None:
        super().__init__()
        self.settings = settings
        dims, widths, top = settings.dimensions, settings.widths, len(settings.widths) - 1
        self.down = nn.ModuleList()
        previous = settings.inputs
        for level, width in enumerate(widths):
            middle = (width // 2 if level == 0 else previous) if settings.widen_early else width
            self.down.append(
                nn.Sequential(ConvBlock(settings, level, previous, middle), ConvBlock(settings, level, middle, width))
            )
            previous = width
        self.pool = nn.ModuleList(POOLING[dims](step) for step in settings.pools)
        self.dropout = nn.Dropout(settings.dropout)
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for level in reversed(range(top)):
            width, up_width = widths[level], widths[level] if settings.up_halves else previous
            step = settings.pools[level]
            self.up.append(UP_CONVOLUTION[dims](previous, up_width, step, stride=step, bias=settings.up_bias))
            self.merge.append(
                nn.Sequential(
                    ConvBlock(settings, level, up_width + width, width), ConvBlock(settings, level, width, width)
                )
            )
            previous = width
        self.head = CONVOLUTION[dims](previous, settings.outputs, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class scores; see the class for shapes."""
        features = self.features(self._fitted(image))
        scores: torch.Tensor = self.head(features[-1])
        return _central(scores, image.shape[2:]) if self.settings.padded else scores

    def features(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Decoder features, coarsest first: the bottom, then each merged level; the last one feeds the head."""
        skips = []
        for block, pool in zip(self.down, [*self.pool, None], strict=True):
            image = block(image)
            if pool is not None:
                skips.append(image)
                image = pool(image)
        features = [self.dropout(image)]
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            raised = up(features[-1])
            features.append(merge(torch.cat([_central(skip, raised.shape[2:]), raised], dim=1)))
        return features

    def _fitted(self, image: torch.Tensor) -> torch.Tensor:
        """The image grown to a multiple of the stride (padded networks), or checked (unpadded ones)."""
        size = image.shape[2:]
        if not self.settings.padded:
            _check_unpadded(self.settings, tuple(size))
            return image
        extra = [-length % step for length, step in zip(size, self.settings.stride, strict=True)]
        return mirror_pad(image, [(e // 2, e - e // 2) for e in extra])


def _central(image: torch.Tensor, size: torch.Size | tuple[int, ...]) -> torch.Tensor:
    """The central part of `size`; where the difference is odd, the odd voxel is cut at the far end."""
    for axis, (have, want) in enumerate(zip(image.shape[2:], size, strict=True), start=2):
        if have != want:
            image = image.narrow(axis, (have - want) // 2, want)
    return image


def _check_unpadded(settings: UNetSettings, size: Step) -> None:
    """Raise `SettingsError` unless each pooling divides evenly and something is left at the end."""
    for axis, length in enumerate(size):
        kernels = [kernel[axis] for kernel in settings.kernels]
        left = length
        for kernel, pool in zip(kernels, [*(p[axis] for p in settings.pools), 1], strict=True):
            left -= 2 * (kernel - 1)
            if left <= 0 or left % pool:
                raise SettingsError(f"An unpadded U-Net cannot take {size}: axis {axis} pools unevenly at {left}.")
            left //= pool
        for kernel, pool in zip(reversed(kernels[:-1]), (p[axis] for p in reversed(settings.pools)), strict=True):
            left = left * pool - 2 * (kernel - 1)
        if left <= 0:
            raise SettingsError(f"An unpadded U-Net needs more than {size}: nothing is left along axis {axis}.")
