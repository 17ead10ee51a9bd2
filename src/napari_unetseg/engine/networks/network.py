"""Networks as the program sees them, whatever their architecture: modules that know their settings."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from torch import nn


class NetworkSettings(Protocol):
    """Everything that defines a network: a frozen, hashable record that a model's card can hold as JSON."""

    kind: ClassVar[str]
    """The architecture's name in cards; `registry.find_architecture` knows it."""

    @property
    def dimensions(self) -> int:
        """2 or 3."""

    @property
    def inputs(self) -> int:
        """Channels in."""

    @property
    def outputs(self) -> int:
        """Classes out, with background."""

    def to_json(self) -> dict[str, Any]:
        """Plain fields, among them ``kind``, for a model's card."""


class Network(nn.Module):
    """A module that gives class scores, before the softmax, and knows its settings.

    One that is predicted in tiles takes images (N, inputs, [Z,] Y, X) of any size and gives scores
    (N, outputs, [Z,] Y, X); its last layer is called ``head``.
    """

    settings: NetworkSettings
