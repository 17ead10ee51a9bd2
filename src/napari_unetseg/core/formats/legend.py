"""What a format has no field of its own for: structures, objects, origin and orientation, as one JSON text."""

from __future__ import annotations

from dataclasses import replace

import pydantic

from napari_unetseg.core.structure import Structure
from napari_unetseg.core.volume import UNITS, Grid, Labels, ScannerFrame, Triple, Volume

KEY = "napari_unetseg"


class Legend(pydantic.BaseModel):
    """Names and colours of labels, and the place in space. Every field may be missing.

    Parameters
    ----------
    structures : tuple of Structure
    are_objects : bool
    channels : tuple of str
        Names of the channels, for formats that cannot name them.
    unit : str or None
        The unit of the spacing, for formats that have fewer units.
    origin : (z, y, x) or None
        In that unit.
    affine, file_codes :
        The fields of `ScannerFrame`, or None.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    structures: tuple[Structure, ...] = ()
    are_objects: bool = False
    channels: tuple[str, ...] = ()
    unit: str | None = None
    origin: Triple | None = None
    affine: tuple[tuple[float, float, float, float], ...] | None = None
    file_codes: tuple[str, str, str] | None = None

    @classmethod
    def of(cls, data: Labels | Volume) -> Legend:
        """The legend of labels or of a volume; a structure keeps label, name and colour."""
        scanner = data.grid.scanner
        return cls.model_validate(
            {
                "structures": [s.model_dump(include={"label", "name", "colour"}) for s in data.structures]
                if isinstance(data, Labels)
                else (),
                "are_objects": isinstance(data, Labels) and data.are_objects,
                "channels": data.channels if isinstance(data, Volume) else (),
                "unit": data.grid.unit,
                "origin": data.grid.origin,
                "affine": scanner and scanner.affine,
                "file_codes": scanner and scanner.file_codes,
            }
        )

    @classmethod
    def parse(cls, text: object) -> Legend:
        """Read a legend; an empty one where there is none or it is not ours, since files are from anywhere."""
        try:
            return cls.model_validate_json(text) if isinstance(text, str) else cls()
        except pydantic.ValidationError:
            return cls()

    def dump(self) -> str:
        """The legend as JSON, without what is empty."""
        return self.model_dump_json(exclude_defaults=True)

    def place(self, grid: Grid) -> Grid:
        """`grid` at the legend's origin and orientation, where it has them."""
        return replace(self.place_scanner(grid), origin=self.origin or grid.origin)

    def place_scanner(self, grid: Grid) -> Grid:
        """`grid` in the legend's orientation, where it has one."""
        if not self.affine or len(self.affine) != 4 or not self.file_codes:
            return grid
        return replace(grid, scanner=ScannerFrame(self.affine, self.file_codes))

    def in_unit(self, grid: Grid) -> Grid:
        """`grid` in the legend's unit, where it has one."""
        if self.unit not in UNITS or not grid.is_physical or self.unit == grid.unit:
            return replace(grid, unit="pixel") if self.unit == "pixel" else grid
        factor = UNITS[grid.unit] / UNITS[self.unit]
        oz, oy, ox = (o * factor for o in grid.origin)
        return Grid(grid.spacing_in(self.unit), self.unit, (oz, oy, ox), grid.scanner)
