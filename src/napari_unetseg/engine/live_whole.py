"""A trained U-Net beside a painter: its answers slice by slice, as `engine.predict` gives them for the whole volume."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from napari_unetseg.core.models.compatibility import fit
from napari_unetseg.core.models.normalisation import normaliser
from napari_unetseg.core.progress import finish
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Volume
from napari_unetseg.engine.model_file import Model
from napari_unetseg.engine.predict import iter_predict

BLOCK = 16
"""Slices that a 3D U-Net predicts together; whatever its strides are, they begin where those of the volume do."""
ROOM = 2**28
"""Bytes of probabilities that are kept."""


@dataclass(frozen=True)
class _Block:
    """Slices that are predicted together, and what is looked at for them; (start, stop) along z."""

    fills: tuple[int, int]
    seen: tuple[int, int]


class WholeSlices:
    """The probabilities of a U-Net on some volumes, computed when they are asked for and kept while there is room.

    Parameters
    ----------
    model : Model
        A U-Net, each of whose structures is one output.
    volumes : sequence of Volume
        Of the kind that its card asks for.
    device : str
        As `SegmentSettings.device`.

    Raises
    ------
    ModelError
        If a volume does not fit the card.
    """

    def __init__(self, model: Model, volumes: Sequence[Volume], device: str) -> None:
        self.model, self._volumes = model, tuple(volumes)
        self._settings = SegmentSettings(device, "probabilities", cleanup=())
        fits = [fit(model.card, volume, self._settings) for volume in volumes]
        self._reads = [
            normaliser(volume, model.card.normalisation, fitted.mix)
            for volume, fitted in zip(volumes, fits, strict=True)
        ]
        self._ratios = [fitted.grid[0].ratio for fitted in fits]
        self._kept: OrderedDict[tuple[int, int], torch.Tensor] = OrderedDict()

    def scores(self, image: int, z: int) -> torch.Tensor:
        """Logarithms of the probabilities (outputs, Y, X), float32, of one slice; on the CPU."""
        block = self._block(image, z)
        key = (image, block.fills[0])
        if key not in self._kept:
            self._kept[key] = self._predicted(image, block)
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > ROOM:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        probabilities = self._kept[key][:, z - block.fills[0]].float()
        return probabilities.clamp_min(torch.finfo(torch.float16).tiny).log()

    def _block(self, image: int, z: int) -> _Block:
        """The slice alone where the model is 2D."""
        if self.model.card.dimensions == 2:
            return _Block((z, z + 1), (z, z + 1))
        depth = self._volumes[image].shape[0]
        start = z - z % BLOCK
        reach = BLOCK * math.ceil((self.model.card.halo[0] + 1) / self._ratios[image] / BLOCK)
        return _Block((start, min(depth, start + BLOCK)), (max(0, start - reach), min(depth, start + BLOCK + reach)))

    def _predicted(self, image: int, block: _Block) -> torch.Tensor:
        """Probabilities (outputs, slices of the block, Y, X), float16."""
        volume, (first, last) = self._volumes[image], block.seen
        part = replace(volume, array=volume.array[:, first:last])
        found = finish(iter_predict(self.model, part, self._settings, self._reads[image])).probabilities
        if found is None:  # for the type checker: the settings ask for them
            raise TypeError("The probabilities that were asked for have not come.")
        return torch.from_numpy(found)[:, block.fills[0] - first : block.fills[1] - first].clone()
