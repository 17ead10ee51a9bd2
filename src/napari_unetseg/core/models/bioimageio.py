"""Model files out of packages of the BioImage Model Zoo. Nothing in a package is ever executed or unpickled.

Only packages that this program exported hold a model file of ours, so only these can be taken: a state dict needs the
package's own source code to be run, and TorchScript and the others are programs themselves.
"""

from __future__ import annotations

import hashlib
import lzma
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic
import yaml

from napari_unetseg.core.io.formats.registry import exists
from napari_unetseg.errors import ModelError

CONFIG_KEY = "napari_unetseg"
"""Where a package's description says which of its files is our model: ``config: {napari_unetseg: {model: …}}``."""
DESCRIPTIONS = ("rdf.yaml", "bioimageio.yaml")
MOST_DESCRIPTION = 2 * 1024**2
MOST_MODEL = 2 * 1024**3
SMALL = 2**26
"""Bytes that any package may unpack to."""
LARGEST_RATIO = 20
"""Of a model to its package: weights are numbers that hardly pack."""


class _File(pydantic.BaseModel):
    source: str
    sha256: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")


def read_model_file(package: Path) -> bytes:
    """The bytes of the model file in a package, as the description's checksum says they are.

    Raises
    ------
    ModelError
        If it is no whole zip file, a name in it points out of it, it is no package of the zoo or not one of ours, or
        the checksum is wrong.
    """
    if not (exists(package) and package.is_file()):
        raise ModelError(f"{package} is not a whole zip file of the BioImage Model Zoo: there is no file of that name.")
    most = min(MOST_MODEL, max(SMALL, LARGEST_RATIO * package.stat().st_size))
    try:
        with zipfile.ZipFile(package) as archive:
            _check_names(package, archive)
            entry = _model_entry(package, _description(package, archive))
            content = _read(package, archive, entry.source, most)
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelError(f"{package} is not a whole zip file of the BioImage Model Zoo: {error}.") from error
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise ModelError(f"{package}: the checksum of {entry.source} is wrong; the package was changed or is damaged.")
    return content


def _check_names(package: Path, archive: zipfile.ZipFile) -> None:
    for name in archive.namelist():
        path = PurePosixPath(name.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ModelError(f"{package} holds a file named {name!r}, which points out of it; it is not to be trusted.")


def _description(package: Path, archive: zipfile.ZipFile) -> dict[str, Any]:
    name = next((name for name in DESCRIPTIONS if name in archive.namelist()), None)
    if name is None:
        raise ModelError(f"{package} has no rdf.yaml; expected a package of the BioImage Model Zoo.")
    try:
        description = yaml.safe_load(_read(package, archive, name, MOST_DESCRIPTION))
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as error:  # a date that cannot be is a ValueError
        raise ModelError(f"{package}: {name} is not YAML: {error}.") from error
    if not isinstance(description, dict) or description.get("type") != "model":
        raise ModelError(f"{package} does not describe a model; expected `type: model` in its {name}.")
    return description


def _model_entry(package: Path, description: dict[str, Any]) -> _File:
    """Which file is our model."""
    config, weights = (description.get(key) or {} for key in ("config", "weights"))
    ours = config.get(CONFIG_KEY) if isinstance(config, dict) else None
    if not isinstance(ours, dict):
        formats = ", ".join(map(str, weights)) if isinstance(weights, dict) and weights else "nothing"
        raise ModelError(
            f"{package} holds weights as {formats}, which run only with code of its own; nothing in a package is run "
            "here. Only packages that napari-unetseg exported can be taken; others run with bioimageio.core."
        )
    try:
        return _File.model_validate(ours.get("model"))
    except pydantic.ValidationError as error:
        raise ModelError(f"{package} does not say which file is the model; expected a name and its sha256.") from error


def _read(package: Path, archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """A file of the archive, of at most so many bytes, whatever it claims to have."""
    try:
        with archive.open(name) as file:
            content = file.read(most + 1)
    except KeyError as error:
        raise ModelError(f"{package} does not hold {name}, which it describes; it is not whole.") from error
    except (zlib.error, lzma.LZMAError) as error:  # that the library of zip files lets through
        raise ModelError(f"{package}: {name} is damaged: {error}. Copy the package again.") from error
    if len(content) > most:
        raise ModelError(
            f"{package}: {name} is larger than {most // 1024**2} MiB, more than it can hold; it is not to be trusted."
        )
    return content
