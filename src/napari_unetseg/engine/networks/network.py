"""Networks as the program sees them, whatever their architecture: modules that know their settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from torch import nn

from napari_unetseg.errors import SettingsError

Settings = TypeVar("Settings")


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


def settings_from_json(kind: type[Settings], fields: Mapping[str, Any]) -> Settings:
    """The settings of a network, a dataclass, from a card's fields: the one door for what comes from outside.

    Raises
    ------
    SettingsError
        If there is a field that this version does not know, or a value is not of its type or does not fit.
    """
    try:
        settings = TypeAdapter(kind).validate_python({name: value for name, value in fields.items() if name != "kind"})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"The model's architecture does not fit: {where or 'fields'}: {first['msg']}.") from error
    unknown = list(_unknown(fields, asdict(settings)))  # type: ignore[call-overload] # it is a dataclass
    if unknown:
        raise SettingsError(
            f"The model's architecture has fields that this version does not know: {', '.join(unknown)}."
        )
    return settings


def _unknown(given: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        if name not in known and name != "kind":
            yield name
        elif isinstance(value, Mapping) and isinstance(known.get(name), Mapping):
            yield from _unknown(value, known[name])
