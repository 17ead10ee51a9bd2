"""Models for others: packages of the BioImage Model Zoo (spec 0.5), written and checked with its own library."""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from napari_unetseg.core.io.atomic import atomic_path
from napari_unetseg.core.models.bioimageio import read_model_file
from napari_unetseg.core.models.card import ModelCard, Normalisation
from napari_unetseg.core.models.catalogue import picture_of
from napari_unetseg.core.models.fine_tuned_card import anonymous_card
from napari_unetseg.engine.bioimageio.description import EPSILON, describe, documentation, minimum_size, standalone_of
from napari_unetseg.engine.networks.model_file import Model, load_model, save_model
from napari_unetseg.engine.networks.network import Network
from napari_unetseg.engine.networks.standalone import Standalone
from napari_unetseg.errors import ModelError, ResourceError

Array = npt.NDArray[np.float32]


def export_model(model: str | Path, target: Path, *, anonymous: bool = False) -> None:
    """Write a model as a package of the zoo, and let the zoo's library check it first.

    The package holds the weights twice: for everyone, as a PyTorch state dict with a standalone source file of the
    network, and as our own model file, which `core.models.bioimageio` takes back without opening the former. With
    `anonymous`, the card in it has no names of files.

    Raises
    ------
    ModelError
        If the model cannot be read, its network has no source without this program, or it is only a start to learn
        from.
    ResourceError
        If bioimageio.spec is not installed.
    OutputError
        If the package cannot be written.
    """
    spec, loaded = _library(), load_model(model)
    loaded = replace(loaded, card=anonymous_card(loaded.card)) if anonymous else loaded
    standalone = standalone_of(loaded.card)
    if loaded.card.is_start:
        raise ModelError(f"{loaded.card.name} is a start to learn from and finds nothing by itself; export another.")
    with tempfile.TemporaryDirectory() as folder, _quiet():
        files = _write_files(Path(folder), loaded, standalone, picture_of(model))
        description = describe(loaded.card, files, torch.__version__.split("+")[0])
        context = spec.ValidationContext(root=Path(folder), file_name="rdf.yaml", perform_io_checks=True)
        with context:
            built = spec.build_description(description, context=context)
            if isinstance(built, spec.InvalidDescr):
                raise ModelError(f"{loaded.card.name} does not fit the zoo: {_first_error(built)}.")
            with atomic_path(target) as temporary:
                spec.save_bioimageio_package(built, output_path=temporary, local_files_only=True)
                _without_times(temporary)


def import_model(package: Path, target: Path) -> ModelCard:
    """Write the model of a package that `export_model` made as a model file, and return its card.

    Raises
    ------
    ModelError
        If the package is damaged, not to be trusted, or of another program.
    OutputError
        If the model file cannot be written.
    """
    content = read_model_file(package)
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)
        try:
            return load_model(temporary).card
        except ModelError as error:
            message = str(error).replace(str(temporary), "its model file")
            raise ModelError(f"{package} cannot be taken: {message}") from error


def _without_times(package: Path) -> None:
    """Write an archive again with every file of the earliest date there is: the same model is the same package."""
    with zipfile.ZipFile(package) as archive:
        files = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in files:
            undated = zipfile.ZipInfo(entry.filename)
            undated.external_attr = entry.external_attr
            archive.writestr(undated, content, zipfile.ZIP_DEFLATED)


def _library() -> Any:
    try:
        import bioimageio.spec
    except ImportError as error:
        raise ResourceError(
            'Packages of the BioImage Model Zoo need bioimageio.spec; pip install "napari-unetseg[zoo]".'
        ) from error
    return bioimageio.spec


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's log from the terminal."""
    from loguru import logger

    logger.disable("bioimageio")
    try:
        yield
    finally:
        logger.enable("bioimageio")


def _first_error(built: Any) -> str:
    errors = [error for detail in built.validation_summary.details for error in detail.errors]
    return f"{'.'.join(map(str, errors[0].loc))}: {errors[0].msg}" if errors else "unknown reason"


def _write_files(folder: Path, model: Model, standalone: Standalone, picture: Path | None) -> dict[str, Path]:
    """Everything that the description names."""
    network, image = model.network, sample_image(model.card)
    files = {
        "model": folder / f"{model.card.name}.safetensors",
        "weights": folder / "weights.pt",
        "architecture": folder / f"{standalone.callable}.py",
        "documentation": folder / "README.md",
        "input": folder / "test_input.npy",
        "output": folder / "test_output.npy",
    }
    save_model(files["model"], model, half=_is_half(network))
    torch.save(dict(network.state_dict()), files["weights"])
    files["architecture"].write_text(standalone.source, encoding="utf-8")
    files["documentation"].write_text(documentation(model.card), encoding="utf-8")
    np.save(files["input"], image)
    np.save(files["output"], classify(network, model.card.normalisation, image))
    if picture is not None:
        files["cover"] = folder / "cover.png"
        files["cover"].write_bytes(picture.read_bytes())
    return files


def _is_half(network: Network) -> bool:
    """Whether half precision holds the weights exactly, as it does for those that were saved in it."""
    floats = [value for value in network.state_dict().values() if value.is_floating_point()]
    return all(bool((value.half().float() == value).all()) for value in floats)


def sample_image(card: ModelCard) -> Array:
    """Smooth noise between 0 and 255, float32, shape (1, C, [Z,] Y, X): the same for every model of that size."""
    noise = np.random.default_rng(0).random((len(card.channels), *minimum_size(card)))
    smooth = gaussian_filter(noise, (0, *(3.0,) * card.dimensions))
    image: Array = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)
    return image[None]


def preprocess(image: Array, normalisation: Normalisation) -> Array:
    """What the package's preprocessing makes of an image (1, C, [Z,] Y, X), by the formulas of the zoo."""
    axes = tuple(range(2, image.ndim))
    if normalisation.method == "window":
        values = np.clip((image - normalisation.low) / (normalisation.high - normalisation.low), 0, 1)
    elif normalisation.method == "zscore":
        mean, deviation = (measure(image, axis=axes, keepdims=True) for measure in (np.mean, np.std))
        values = (image - mean) / (deviation + EPSILON)
    else:
        low, high = np.percentile(image, (normalisation.low, normalisation.high), axis=axes, keepdims=True)
        values = (image - low) / (high - low + EPSILON)
    result: Array = values.astype(np.float32)
    return result


@torch.inference_mode()
def classify(network: Network, normalisation: Normalisation, image: Array) -> Array:
    """Probabilities (1, K, [Z,] Y, X) of an image (1, C, [Z,] Y, X), as a user of the package gets them."""
    scores: torch.Tensor = network(torch.from_numpy(preprocess(image, normalisation)))
    probabilities: Array = scores.softmax(dim=1).numpy()
    return probabilities
