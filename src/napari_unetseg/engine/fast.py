"""A network made ready to predict: the same result, computed faster and in less memory."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_unetseg.engine.unet import CONVOLUTION, ConvBlock, UNet

Convolution = nn.Conv2d | nn.Conv3d
CONVOLVE: dict[int, Any] = {2: F.conv2d, 3: F.conv3d}
CPU_CHUNK = 2**20
MOST_CHUNKS = 8
LAYOUT = {2: torch.channels_last, 3: torch.channels_last_3d}


class FastUNet(nn.Module):
    """A U-Net for prediction: batch norm folded into the convolutions, channels last, and little memory.

    On a CPU it holds about two images of its first width at its peak: convolutions write over their input
    (`_InPlace`), and no skip is joined with what comes from below (`_Merge`). An unpadded network is padded here, with
    the same weights: away from the border (by its receptive field) it gives what it gave before.

    Input (N, C, [Z,] Y, X) of a multiple of the stride, in any float type; output (N, classes, [Z,] Y, X) in the
    network's own.

    Parameters
    ----------
    network : UNet
    chunk : int or None
        How many values a convolution works on at a time; images are cut in `MOST_CHUNKS` at most. None, for a GPU,
        takes them whole, which is faster there and takes more memory.
    """

    def __init__(self, network: UNet, chunk: int | None = None) -> None:
        super().__init__()
        network = copy.deepcopy(network).eval()
        for block in [module for module in network.modules() if isinstance(module, ConvBlock)]:
            _simplify(block)
        for _, second in cast("Iterable[Any]", [*network.down, *network.merge]):
            second[0] = _InPlace(second[0], chunk)
        if network.settings.inputs == 1:
            _widen(cast("Any", network.down[0])[0])
        self.settings = network.settings
        self.down, self.head = network.down, network.head
        self.pool = nn.ModuleList(_Pool(pool, chunk) for pool in network.pool)
        self.merge = nn.ModuleList(
            _Merge(up, merge, chunk) for up, merge in zip(network.up, network.merge, strict=True)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class scores; see the class for shapes."""
        image = image.to(self.head.weight.dtype)
        if self.settings.inputs == 1:
            image = torch.cat([image, torch.zeros_like(image)], dim=1)
        image = image.contiguous(memory_format=LAYOUT[self.settings.dimensions])
        skips = []
        for block, pool in zip(self.down, [*self.pool, None], strict=True):
            image = block(image)
            if pool is not None:
                skips.append(image)
                image = pool(image)
        for merge in self.merge:
            image = merge(image, skips)
        scores: torch.Tensor = self.head(image)
        return scores


class _InPlace(nn.Module):
    """A convolution that keeps the number of channels and, on a CPU, writes its result over its input.

    It goes in chunks of rows of the first spatial axis, and keeps those rows that the next chunk still needs.
    """

    def __init__(self, conv: Convolution, chunk: int | None) -> None:
        super().__init__()
        self.conv = conv
        self.chunk = chunk

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        chunks = _count(image, self.chunk)
        if chunks == 1 or self.conv.in_channels != self.conv.out_channels:
            result: torch.Tensor = self.conv(image)
            return result
        margin = self.conv.kernel_size[0] // 2
        for samples, spans in _pieces(image, chunks):
            before = torch.zeros_like(samples[:, :, :margin])
            for start, stop in spans:
                rows = torch.cat([before, samples[:, :, start : stop + margin]], dim=2)
                rows = _padded(rows, stop - start + 2 * margin)
                before = samples[:, :, stop - margin : stop].clone()
                samples[:, :, start:stop] = _convolve_rows(self.conv, rows)
        return image


class _Pool(nn.Module):
    """Max pooling in chunks of rows: on a CPU it also makes an index of 8 bytes for each value."""

    def __init__(self, pool: nn.Module, chunk: int | None) -> None:
        super().__init__()
        self.pool = pool
        self.step = cast("nn.MaxPool3d", pool).kernel_size[0]  # type: ignore[index]
        self.chunk = chunk

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows = self.step * -(-image.shape[2] // (self.step * _count(image, self.chunk)))
        return torch.cat([self.pool(part) for part in torch.split(image, rows, dim=2)], dim=2)


class _Merge(nn.Module):
    """A level of the decoder. A convolution is linear: that of two images side by side is the sum of one of each.

    So the skip goes first and is released, and what comes from below is raised and added in chunks of rows.
    """

    def __init__(self, up: nn.Module, merge: nn.Module, chunk: int | None) -> None:
        super().__init__()
        (conv, *rest), second = cast("Iterable[Any]", merge.children())
        self.up = cast("nn.ConvTranspose3d", up)
        width = conv.in_channels - self.up.out_channels
        self.skip = _InPlace(_part(conv, slice(width), conv.bias), chunk)
        self.below = _part(conv, slice(width, None), None)
        self.rest = nn.Sequential(*rest, second)
        self.chunk = chunk

    def forward(self, below: torch.Tensor, skips: list[torch.Tensor]) -> torch.Tensor:
        joined = self.skip(skips.pop())
        chunks = _count(joined, self.chunk)
        if chunks == 1:
            joined += self.below(self.up(below))
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
        return _convolve_rows(self.below, _padded(raised, stop - start + 2 * margin))


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


def _convolve_rows(conv: Convolution, rows: torch.Tensor) -> torch.Tensor:
    """The convolution where its kernel has all its rows: padding along the other axes only."""
    result: torch.Tensor = CONVOLVE[rows.dim() - 2](rows, conv.weight, conv.bias, padding=(0, *conv.padding[1:]))
    return result


def _part(conv: Convolution, inputs: slice, bias: torch.Tensor | None) -> Convolution:
    """The convolution of some of the input channels only."""
    weight, has_bias = conv.weight[:, inputs], bias is not None
    kind = CONVOLUTION[weight.dim() - 2]
    part: Convolution = kind(weight.shape[1], weight.shape[0], conv.kernel_size, padding=conv.padding, bias=has_bias)
    part.load_state_dict({"weight": weight, "bias": bias} if has_bias else {"weight": weight})
    return part


def _simplify(block: ConvBlock) -> None:
    """Fold batch norm into its convolution and give an unpadded convolution its padding."""
    conv, norm, _ = cast("Iterable[Any]", block.children())
    conv.padding = tuple(k // 2 for k in conv.kernel_size)
    if isinstance(norm, nn.modules.batchnorm._BatchNorm):
        block[0] = fuse_conv_bn_eval(conv, norm)
        block[1] = nn.Identity()


def _widen(block: ConvBlock) -> None:
    """Give the first convolution a second input of weight 0: the layout of one channel is ambiguous.

    PyTorch then takes it for channels first, and the next convolution copies the whole image to turn it round.
    """
    conv = cast("Convolution", block[0])
    conv.weight = nn.Parameter(torch.cat([conv.weight, torch.zeros_like(conv.weight)], dim=1))


def prepare(network: UNet, device: torch.device, dtype: torch.dtype) -> FastUNet:
    """A copy of the network on the device, in that precision. The given network is left as it is."""
    fast = FastUNet(network, CPU_CHUNK if device.type == "cpu" else None)
    fast = fast.to(device=device, dtype=dtype).requires_grad_(False)
    layout = LAYOUT[network.settings.dimensions]
    for weights in fast.parameters():
        if weights.dim() == network.settings.dimensions + 2:
            weights.data = weights.contiguous(memory_format=layout)
    return fast
