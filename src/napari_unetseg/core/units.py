"""Units of length, in the spellings of people and of file formats, and voxel sizes as people type them."""

from __future__ import annotations

import re

from napari_unetseg.core.volume import Triple
from napari_unetseg.errors import SettingsError

SPELLINGS = {"um": "µm", "μm": "µm", "micron": "µm", "px": "pixel"}
"""Other spellings of units; the second one is written with the Greek letter, not with the micro sign."""

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
SPACING = re.compile(rf"(?P<numbers>{NUMBER}(?:\s*,\s*{NUMBER}){{1,2}})\s*(?P<unit>[a-zµμ]*)", re.IGNORECASE)


def parse_spacing(text: str) -> tuple[Triple, str | None]:
    """Read ``"0.3,0.1,0.1"``, with a unit behind it or not; ``"0.1,0.1 um"`` is for a 2D image.

    Returns
    -------
    spacing : (z, y, x)
    unit : str or None
        None where none was given.

    Raises
    ------
    SettingsError
        If it is not two or three numbers; whether they make sense is checked by `Grid`.
    """
    match = SPACING.fullmatch(text.strip())
    if match is None:
        raise SettingsError(f"Expected a voxel size as Z,Y,X, such as 0.3,0.1,0.1 or 0.3,0.1,0.1um; got {text!r}.")
    numbers = [float(number) for number in match["numbers"].split(",")]
    z, y, x = [1.0] * (3 - len(numbers)) + numbers
    return (z, y, x), parse_unit(match["unit"]) if match["unit"] else None


def parse_unit(text: str) -> str:
    """The unit's own spelling: ``um`` is ``µm``."""
    return SPELLINGS.get(text, text)
