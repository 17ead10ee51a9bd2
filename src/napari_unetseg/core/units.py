"""Units of length, in the spellings of people and of file formats; voxel sizes as people type, figures as they read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from napari_unetseg.core.grid import UNITS, Triple
from napari_unetseg.errors import SettingsError


@dataclass(frozen=True)
class LengthUnit:
    """A unit of length, as people and file formats spell it.

    Parameters
    ----------
    symbol : str
        The symbol of the SI, or of OME-XML where it is none.
    metres : float
        Its size.
    name : str
        In OME-Zarr, the BioImage Model Zoo and napari: the names of UDUNITS-2.
    spellings : tuple of str
        Others, of UCUM, ImageJ and NIfTI, and what people type.
    """

    symbol: str
    metres: float
    name: str
    spellings: tuple[str, ...] = ()


LENGTHS = (
    LengthUnit("nm", UNITS["nm"], "nanometer", ("nanometre", "nanometers", "nanometres")),
    # the micro sign is ours; there are also the Greek letter, what Java writes for it, and both bytes of it as Latin-1
    LengthUnit(
        "µm",
        UNITS["µm"],
        "micrometer",
        ("um", "μm", "\\u00B5m", "Âµm", "micron", "microns", "micrometre", "micrometers", "micrometres", "µ", "μ"),
    ),
    LengthUnit("mm", UNITS["mm"], "millimeter", ("millimetre", "millimeters", "millimetres")),
    LengthUnit("cm", UNITS["cm"], "centimeter", ("centimetre", "centimeters", "centimetres")),
    LengthUnit("m", UNITS["m"], "meter", ("metre", "meters", "metres")),
    LengthUnit("pm", 1e-12, "picometer", ("picometre", "picometers")),
    LengthUnit("Å", 1e-10, "angstrom", ("Ao", "\u212b", "A", "angstroms", "ångström", "ångstrom")),
    LengthUnit("in", 25.4e-3, "inch", ("[in_i]", "[in_us]", "inches")),
    LengthUnit("dm", 0.1, "decimeter", ("decimetre",)),
    LengthUnit("dam", 10.0, "decameter", ("decametre",)),
    LengthUnit("hm", 1e2, "hectometer", ("hectometre",)),
    LengthUnit("km", 1e3, "kilometer", ("kilometre", "kilometers")),
    LengthUnit("Mm", 1e6, "megameter", ("megametre",)),
    LengthUnit("Gm", 1e9, "gigameter", ("gigametre",)),
    LengthUnit("Tm", 1e12, "terameter", ("terametre",)),
    LengthUnit("fm", 1e-15, "femtometer", ("femtometre",)),
    LengthUnit("am", 1e-18, "attometer", ("attometre",)),
    LengthUnit("thou", 25.4e-6, "mil", ("[mil_i]",)),
    LengthUnit("li", 25.4e-3 / 12, "line"),
    LengthUnit("pt", 25.4e-3 / 72, "point"),
    LengthUnit("ft", 0.3048, "foot", ("[ft_i]", "[ft_us]", "feet")),
    LengthUnit("yd", 0.9144, "yard", ("[yd_i]", "yards")),
    LengthUnit("mi", 1609.344, "mile", ("[mi_i]", "miles")),
)
"""Those of grids (`UNITS`), and beside them those of OME-XML, OME-Zarr, UCUM and ImageJ that images may have."""
UNIT_NAMES = {unit.symbol: unit.name for unit in LENGTHS if unit.symbol in UNITS}
"""The names of the units of grids, by their symbols."""
_BY_WORD = {word: unit for unit in LENGTHS for word in (unit.symbol, unit.name, *unit.spellings)}
_BY_LOWER = {word.lower(): unit for word, unit in _BY_WORD.items() if len(word) > 2}
_PIXEL = ("px", "pixels")
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
    """The symbol of a unit of grids, in whichever way it is spelled: ``um`` is ``µm``. Anything else comes as it is."""
    if text in _PIXEL:
        return "pixel"
    unit = length_unit(text)
    return unit.symbol if unit is not None and unit.symbol in UNITS else text


def length_unit(word: str) -> LengthUnit | None:
    """The unit of length that a file names by its symbol, its name or another spelling; None where it is none.

    Names may be capitalised, and quoted as in NRRD; symbols are as they are, but all in capitals they count as small.
    """
    word = word.strip().strip("\"'").strip()
    if word.isupper():  # no symbol but Å and A is of capitals alone, and Mm is not mm
        return _BY_WORD.get(word) or _BY_WORD.get(word.lower())
    return _BY_WORD.get(word) or _BY_LOWER.get(word.lower())


def in_grid_unit(size: float, word: str) -> tuple[float, str]:
    """A size in a unit of grids: its own where it is one, µm for other lengths, ``pixel`` for all else."""
    unit = length_unit(word)
    if unit is None:
        return size, "pixel"
    if unit.symbol in UNITS:
        return size, unit.symbol
    return size * unit.metres / UNITS["µm"], "µm"


DIGITS = 4
"""Significant ones that people are shown."""
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LADDERS: dict[int, tuple[tuple[str, float, float], ...]] = {
    1: (("nm", 1e-9, 0), ("µm", 1e-6, 1e4), ("mm", 1e-3, 1e4), ("cm", 1e-2, 1e3), ("m", 1.0, 1e3)),
    2: (("nm²", 1e-18, 0), ("µm²", 1e-12, 1e6), ("mm²", 1e-6, 1e6), ("cm²", 1e-4, 1e4), ("m²", 1.0, 1e6)),
    3: (("nm³", 1e-27, 0), ("µm³", 1e-18, 1e6), ("mm³", 1e-9, 1e6), ("mL", 1e-6, 1e3), ("L", 1e-3, 1e4)),
}
"""By power of the length: units in ascending order, their size in metres, and from how many of the one before on each
is taken. Nobody reads 12 340 mm³: it is 12.34 mL."""


def quantity(value: float) -> str:
    """Four significant digits, with a space between thousands: ``12 340``, ``0.02134``, ``1.235 million``."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    for word, size in (("billion", 1e9), ("million", 1e6)):
        if 0.99995 * size <= abs(value) < 1e13:
            return f"{value / size:.{DIGITS}g} {word}"
    if abs(value) >= 1e13 or 0 < abs(value) < 1e-4:
        digits, _, power = f"{value:.{DIGITS - 1}e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}·10{str(int(power)).translate(RAISED)}"
    rounded = float(f"{value:.{DIGITS}g}")
    return f"{rounded:,.0f}".replace(",", " ") if abs(rounded) >= 1000 else f"{rounded:.{DIGITS}g}"


def readable_unit(values: Iterable[float], unit: str, power: int) -> tuple[str, float]:
    """The unit in which lengths (power 1), areas (2) or volumes (3) are read best, and what to multiply them with.

    Parameters
    ----------
    values : iterable of float
        The largest finite one decides, so that a column has one unit.
    unit : str
        Of length; what is in pixels stays so.
    """
    raised = unit if power == 1 else f"{unit}{'²' if power == 2 else '³'}"
    if unit not in UNITS:
        return raised, 1.0
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0) * UNITS[unit] ** power
    best, own = (raised, UNITS[unit] ** power), UNITS[unit] ** power
    for (_, before, _), (name, size, from_) in zip(LADDERS[power], LADDERS[power][1:], strict=False):
        if size > 1.001 * best[1] and largest >= from_ * before:
            best = (name, size)
    return best[0], own / best[1]
