"""Descriptions of packages of the BioImage Model Zoo (spec 0.5): tensors, axes, processing, files, words."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from napari_unetseg.core.models.bioimageio import CONFIG_KEY
from napari_unetseg.core.models.card import ModelCard
from napari_unetseg.core.units import UNIT_NAMES
from napari_unetseg.engine.networks.registry import architecture_of
from napari_unetseg.engine.networks.standalone import Standalone
from napari_unetseg.errors import ModelError

PROGRAM = "napari-unetseg"
FORMAT = "0.5.14"
EPSILON = 1e-6
"""Added to what is divided by; the zoo's own default."""
NAME = re.compile(r"[^a-zA-Z0-9_+() -]+")


def standalone_of(card: ModelCard) -> Standalone:
    """The source of a model's network; raises `ModelError` where there is none that runs without this program."""
    architecture = architecture_of(card)
    standalone = architecture.standalone()
    if standalone is None:
        title = architecture.title
        raise ModelError(f"{card.name} is a {title}, which other programs cannot run; expected another model.")
    return standalone


def minimum_size(card: ModelCard) -> tuple[int, ...]:
    """The smallest input with something inside the halo, in multiples of the stride, along the network's axes."""
    stride = architecture_of(card).stride
    halo = card.halo[3 - card.dimensions :]
    return tuple(-(-(2 * h + s) // s) * s for h, s in zip(halo, stride, strict=True))


def describe(card: ModelCard, files: Mapping[str, Path], torch_version: str) -> dict[str, Any]:
    """The description of a package, as its YAML says it.

    Parameters
    ----------
    files : mapping
        The package's files: ``model``, ``weights``, ``architecture``, ``documentation``, ``input``, ``output`` and,
        where there is one, ``cover``.
    """
    source = {name: {"source": path.name, "sha256": _sha256(path)} for name, path in files.items()}
    network = standalone_of(card)
    kwargs = json.loads(json.dumps(card.architecture))
    architecture = {**source["architecture"], "callable": network.callable, "kwargs": kwargs}
    weights = {**source["weights"], "pytorch_version": torch_version, "architecture": architecture}
    return {
        "type": "model",
        "format_version": FORMAT,
        "name": NAME.sub("", card.title)[:64].ljust(5),
        "description": card.description,
        "version": card.version,
        "authors": [{"name": "napari-unetseg developers"}],
        "cite": [dict(citation) for citation in network.citations],
        **_licence(card),
        "tags": [f"{card.dimensions}d", *network.tags, "segmentation", *(s.name for s in card.structures)],
        "documentation": source["documentation"],
        "covers": [source["cover"]] if "cover" in source else [],
        "attachments": [source["model"]],
        "inputs": [_input(card, source["input"])],
        "outputs": [_output(card, source["output"])],
        "weights": {"pytorch_state_dict": weights},
        "config": {CONFIG_KEY: {"version": version(PROGRAM), "model": source["model"]}},
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _licence(card: ModelCard) -> dict[str, str]:
    """The SPDX id of the weights; nothing where the card's words are none."""
    name = card.licence.split(";")[0].strip().replace(" ", "-")
    return {"license": name} if re.fullmatch(r"[A-Za-z0-9.+-]+", name) else {}


def _input(card: ModelCard, test_tensor: dict[str, str]) -> dict[str, Any]:
    stride = architecture_of(card).stride
    sizes = [{"min": least, "step": step} for least, step in zip(minimum_size(card), stride, strict=True)]
    return {
        "id": "image",
        "axes": [
            *_first_axes(card.channels),
            *({**axis, "size": size} for axis, size in zip(_space(card), sizes, strict=True)),
        ],
        "data": {"type": "float32"},
        "preprocessing": _preprocessing(card),
        "test_tensor": test_tensor,
    }


def _output(card: ModelCard, test_tensor: dict[str, str]) -> dict[str, Any]:
    halo = card.halo[3 - card.dimensions :]
    space = [
        {**axis, "halo": length, "size": {"tensor_id": "image", "axis_id": axis["id"]}}
        for axis, length in zip(_space(card), halo, strict=True)
    ]
    return {
        "id": "probabilities",
        "description": "Probability of each output; they add up to 1.",
        "axes": [*_first_axes(_outputs(card)), *space],
        "data": {"type": "float32", "range": [0, 1]},
        "postprocessing": [{"id": "softmax", "kwargs": {"axis": "channel"}}],
        "test_tensor": test_tensor,
    }


def _first_axes(channels: tuple[str, ...]) -> list[dict[str, Any]]:
    names = [re.sub(r"\W+", "_", name).strip("_") for name in channels]
    return [{"type": "batch"}, {"type": "channel", "channel_names": names}]


def _outputs(card: ModelCard) -> tuple[str, ...]:
    """A name for each of the network's outputs; an object's core and rim are outputs of their own."""
    names = ["background"] * architecture_of(card).settings.outputs
    for structure in card.structures:
        for channel in structure.channels:
            part = "" if structure.seed_channel is None else (" core" if channel == structure.seed_channel else " rim")
            names[channel] = structure.name + part
    return tuple(names)


def _space(card: ModelCard) -> list[dict[str, Any]]:
    """The network's axes, with the voxel size that it was trained at."""
    size = card.voxel_size
    axes: list[dict[str, Any]] = [{"type": "space", "id": axis} for axis in "zyx"[3 - card.dimensions :]]
    if size is not None and size.unit in UNIT_NAMES:
        for axis, length in zip(axes, size.spacing[3 - card.dimensions :], strict=True):
            axis.update(scale=length, unit=UNIT_NAMES[size.unit])
    return axes


def _preprocessing(card: ModelCard) -> list[dict[str, Any]]:
    normalisation = card.normalisation
    axes = list("zyx"[3 - card.dimensions :])
    if normalisation.method == "window":
        window = normalisation.high - normalisation.low
        linear = {"gain": 1 / window, "offset": -normalisation.low / window}
        return [{"id": "scale_linear", "kwargs": linear}, {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}]
    if normalisation.method == "zscore":
        return [{"id": "zero_mean_unit_variance", "kwargs": {"axes": axes, "eps": EPSILON}}]
    percentiles = {"min_percentile": normalisation.low, "max_percentile": normalisation.high}
    return [{"id": "scale_range", "kwargs": {"axes": axes, "eps": EPSILON, **percentiles}}]


def documentation(card: ModelCard) -> str:
    """The card as a page."""
    scores = [f"- {s.structure}, {s.metric}: {s.value:.3f} ({s.held_out}, {s.images} images)" for s in card.scores]
    data = [f"- {d.name}: {d.source}, {d.licence}. {d.credit}" for d in card.training_data]
    lines = (
        f"# {card.title}\n",
        f"{card.description}\n",
        f"Made with {PROGRAM} {version(PROGRAM)}, which takes this package back:",
        f"`napari-unetseg import-model PACKAGE.zip -o {card.name}.safetensors`. There, numbered objects are made of",
        "the probabilities, and images are resampled to the voxel size of training.\n",
        f"## Training\n\n{card.training}\n",
        *data,
        f"\nLicence: {card.licence or 'not given'}\n",
        "## Validation\n\nOn images that training never saw:\n",
        *(scores or ["no figures."]),
        "\n## Known failures\n",
        *([f"- {text}" for text in card.known_failures] or ["None are known."]),
    )
    return "\n".join(lines) + "\n"
