"""Parts of a U-Net that work on an image in chunks of rows, of its first spatial axis, so that they take less memory.

Results do not depend on the chunks. A `chunk` of None takes images whole, which suits a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.backends import mkldnn
from torch.nn import functional as F

Convolution = nn.Conv2d | nn.Conv3d
CONVOLVE: dict[int, Any] = {2: F.conv2d, 3: F.conv3d}
MOST_CHUNKS = 8
_HAS_ONEDNN: bool = mkldnn.is_available()  # type: ignore[no-untyped-call]


def convolve(conv: Convolution, image: torch.Tensor, padding: Any = None) -> torch.Tensor:
    """The convolution of an image (N, C, [Z,] Y, X), by oneDNN wherever that can; None for its own padding.

    In 3D and float32 PyTorch leaves what it takes for small (one image of few channels, slices and rows, however wide)
    to a convolution of its own, which unfolds the image: for 2 channels 3 to 5 times as slow, in 216 bytes a voxel.
    """
    padding = conv.padding if padding is None else padding
    result: torch.Tensor
    if image.dim() == 5 and image.dtype == torch.float32 and image.device.type == "cpu" and _HAS_ONEDNN:
        steps = conv.stride, conv.dilation, conv.groups
        result = torch.mkldnn_convolution(image, conv.weight, conv.bias, padding, *steps)
    else:
        result = CONVOLVE[image.dim() - 2](image, conv.weight, conv.bias, conv.stride, padding)
    return result


class InPlace(nn.Module):
    """A convolution that, on a CPU and where it keeps the number of channels, writes its result over its input.

    It then goes in chunks of rows of the first spatial axis, and keeps those rows that the next chunk still needs.
    """

    def __init__(self, conv: Convolution, chunk: int | None) -> None:
        super().__init__()
        self.conv = conv
        self.chunk = chunk

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The convolution of an image (N, C, [Z,] Y, X), which may be overwritten."""
        chunks = _count(image, self.chunk)
        if chunks == 1 or self.conv.in_channels != self.conv.out_channels:
            return convolve(self.conv, image)
        margin = self.conv.kernel_size[0] // 2
        for samples, spans in _pieces(image, chunks):
            before = torch.zeros_like(samples[:, :, :margin])
            for start, stop in spans:
                rows = torch.cat([before, samples[:, :, start : stop + margin]], dim=2)
                rows = _padded(rows, stop - start + 2 * margin)
                before = samples[:, :, stop - margin : stop].clone()
                samples[:, :, start:stop] = _convolved_rows(self.conv, rows)
        return image


class Pool(nn.Module):
    """Max pooling in chunks of rows: on a CPU it also makes an index of 8 bytes for each value."""

    def __init__(self, pool: nn.Module, chunk: int | None) -> None:
        super().__init__()
        self.pool = pool
        self.step = cast("nn.MaxPool3d", pool).kernel_size[0]  # type: ignore[index]
        self.chunk = chunk

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The pooled image."""
        rows = self.step * -(-image.shape[2] // (self.step * _count(image, self.chunk)))
        return torch.cat([self.pool(part) for part in torch.split(image, rows, dim=2)], dim=2)


class Merge(nn.Module):
    """A level of the decoder. A convolution is linear: that of two images side by side is the sum of one of each.

    So the skip goes first and is released, and what comes from below is raised and added in chunks of rows.
    """

    def __init__(
        self, up: nn.ConvTranspose3d, skip: Convolution, below: Convolution, rest: nn.Module, chunk: int | None
    ) -> None:
        super().__init__()
        self.up, self.below, self.rest = up, below, rest
        self.skip = InPlace(skip, chunk)
        self.chunk = chunk

    def forward(self, below: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        """The level's features; takes the last of `skips`, and overwrites it."""
        joined = self.skip(skips.pop())
        chunks = _count(joined, self.chunk)
        if chunks == 1:
            joined += convolve(self.below, self.up(below))
        else:
            self._add_in_chunks(joined, below, chunks)
        result: torch.Tensor = self.rest(joined)
        return result

    def _add_in_chunks(self, joined: torch.Tensor, below: torch.Tensor, chunks: int) -> None:
        pieces = zip(_pieces(joined, chunks), _pieces(below, chunks), strict=True)
        for (samples, spans), (sources, _) in pieces:
            for start, stop in spans:
                samples[:, :, start:stop] += self._rows(sources, start, stop, joined.shape[2])

    def _rows(self, below: torch.Tensor, start: int, stop: int, length: int) -> torch.Tensor:
        """Rows `start` to `stop` of the convolution of what is raised from below."""
        margin, pool = self.below.kernel_size[0] // 2, self.up.stride[0]
        first, last = max(start - margin, 0), min(stop + margin, length)
        raised = self.up(below[:, :, first // pool : -(-last // pool)]).narrow(2, first % pool, last - first)
        if first == 0:
            raised = torch.cat([torch.zeros_like(raised[:, :, :margin]), raised], dim=2)
        return _convolved_rows(self.below, _padded(raised, stop - start + 2 * margin))


def _count(images: torch.Tensor, chunk: int | None) -> int:
    """In how many chunks to work on images: small ones are not worth the calls."""
    return 1 if chunk is None else min(MOST_CHUNKS, -(-images.numel() // chunk))


def _pieces(images: torch.Tensor, chunks: int) -> Iterator[tuple[torch.Tensor, list[tuple[int, int]]]]:
    """The images of a batch in at most so many chunks: samples, each with spans of 8 rows or more if they are few."""
    length = images.shape[2]
    step = max(8, -(-length // max(1, chunks // len(images))))
    spans = [(start, min(start + step, length)) for start in range(0, length, step)]
    return ((samples, spans) for samples in torch.split(images, -(-len(images) // chunks)))


def _padded(rows: torch.Tensor, length: int) -> torch.Tensor:
    """Rows with zeros behind them, as a convolution's padding has them, up to `length`."""
    missing = length - rows.shape[2]
    return F.pad(rows, [0, 0] * (rows.dim() - 3) + [0, missing]) if missing else rows


def _convolved_rows(conv: Convolution, rows: torch.Tensor) -> torch.Tensor:
    """The convolution where its kernel has all its rows: padding along the other axes only."""
    return convolve(conv, rows, (0, *conv.padding[1:]))
