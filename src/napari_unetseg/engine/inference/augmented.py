"""Class probabilities of a tile, with test-time augmentation: mirrored copies and orthogonal planes, averaged."""

from __future__ import annotations

import itertools

import torch

from napari_unetseg.engine.networks.network import Network

Axes = tuple[int, ...]
ALONG_Z = (0, 1, 2, 3)
DIRECTIONS = (ALONG_Z, (0, 2, 1, 3), (0, 3, 1, 2))
"""Axis orders of (C, Z, Y, X) that cut slices along z, y and x."""


def passes(dimensions: int, *, mirroring: bool, orthogonal_planes: bool) -> int:
    """How often each voxel goes through the network."""
    return (2**dimensions if mirroring else 1) * (len(DIRECTIONS) if orthogonal_planes else 1)


class Classifier:
    """Probabilities of a network's outputs in a tile.

    Parameters
    ----------
    network : Network
        Prepared, see `networks.architecture.Architecture.prepare`.
    mirroring : bool
        Average over the copies mirrored along each of the network's axes.
    orthogonal_planes : bool
        2D networks: average over slices along z, y and x; else slices are along z.
    """

    def __init__(self, network: Network, *, mirroring: bool = False, orthogonal_planes: bool = False) -> None:
        self.network = network
        self.directions = DIRECTIONS if orthogonal_planes else (ALONG_Z,)
        axes = (-3, -2, -1)[-network.settings.dimensions :]
        counts = range(len(axes) + 1) if mirroring else (0,)
        self.mirrored_axes = [flip for count in counts for flip in itertools.combinations(axes, count)]

    def __call__(self, tile: torch.Tensor) -> torch.Tensor:
        """Probabilities.

        Parameters
        ----------
        tile : (C, Z, Y, X), float32

        Returns
        -------
        (K, Z, Y, X), float32
            They add up to 1 over K.
        """
        views = list(itertools.product(self.directions, self.mirrored_axes))
        total = self._viewed(tile, *views[0])
        for view in views[1:]:
            total += self._viewed(tile, *view)
        return total.div_(len(views))

    def _viewed(self, tile: torch.Tensor, order: Axes, flip: Axes) -> torch.Tensor:
        """Probabilities as seen in one direction of one mirrored copy."""
        back = torch.argsort(torch.tensor(order)).tolist()
        return self._once(tile.permute(order).flip(flip)).flip(flip).permute(back)

    def _once(self, tile: torch.Tensor) -> torch.Tensor:
        """One pass; a 2D network takes the slices as a batch."""
        if self.network.settings.dimensions == 3:
            scores: torch.Tensor = self.network(tile[None])[0]
            return scores.softmax(dim=0, dtype=torch.float32)
        slices: torch.Tensor = self.network(tile.transpose(0, 1))
        return slices.softmax(dim=1, dtype=torch.float32).transpose(0, 1)
