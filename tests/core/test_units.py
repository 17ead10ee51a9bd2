import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.grid import UNITS
from napari_unetseg.core.units import (
    LENGTHS,
    UNIT_NAMES,
    in_grid_unit,
    length_unit,
    parse_spacing,
    parse_unit,
    quantity,
    readable_unit,
)
from napari_unetseg.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.3,0.1,0.1", ((0.3, 0.1, 0.1), None)),
        (" 2, 1, 1 ", ((2, 1, 1), None)),
        ("0.3,0.1,0.1um", ((0.3, 0.1, 0.1), "µm")),
        ("0.3,0.1,0.1 µm", ((0.3, 0.1, 0.1), "µm")),
        ("0.3,0.1,0.1 μm", ((0.3, 0.1, 0.1), "µm")),
        ("1e-3,2E-3,.5mm", ((1e-3, 2e-3, 0.5), "mm")),
        ("4,4 nm", ((1, 4, 4), "nm")),
    ],
)
def test_what_people_type(text: str, expected: object) -> None:
    assert parse_spacing(text) == expected


@pytest.mark.parametrize("text", ["", "1", "1,2,3,4", "a,b,c", "1,,2", "1;2;3", "1,2,nan", "1,2,3 4"])
def test_what_is_no_voxel_size(text: str) -> None:
    with pytest.raises(SettingsError, match="Expected a voxel size as Z,Y,X"):
        parse_spacing(text)


@given(st.tuples(*[st.floats(1e-6, 1e6)] * 3), st.sampled_from(["nm", "µm", "mm", "cm", "m", "pixel"]))
def test_any_size_is_read_back(size: tuple[float, float, float], unit: str) -> None:
    assert parse_spacing(",".join(map(repr, size)) + unit) == (size, unit)


def test_other_spellings_of_a_unit() -> None:
    assert [parse_unit(text) for text in ("um", "micron", "px", "mm")] == ["µm", "µm", "pixel", "mm"]


def test_every_spelling_is_that_of_one_unit() -> None:
    words = [word for unit in LENGTHS for word in (unit.symbol, unit.name, *unit.spellings)]
    assert len(words) == len(set(words))
    assert all(length_unit(word) is unit for unit in LENGTHS for word in (unit.symbol, unit.name, *unit.spellings))
    assert UNIT_NAMES.keys() == UNITS.keys()


@pytest.mark.parametrize(
    ("size", "word", "expected"),
    [
        (0.5, "nm", (0.5, "nm")),
        (0.5, "\\u00B5m", (0.5, "µm")),
        (2.0, "micrometer", (2.0, "µm")),
        (2.0, "inch", (50800.0, "µm")),
        (3.0, "Å", (3e-4, "µm")),
        (3.0, "furlong", (3.0, "pixel")),
        (3.0, "pixel", (3.0, "pixel")),
    ],
)
def test_lengths_of_files_come_in_a_unit_of_grids(size: float, word: str, expected: tuple[float, str]) -> None:
    found, unit = in_grid_unit(size, word)
    assert (pytest.approx(found), unit) == expected


def test_a_unit_that_grids_do_not_have_stays_for_the_message() -> None:
    assert [parse_unit(text) for text in ("inch", "furlong", "")] == ["inch", "furlong", ""]


@pytest.mark.parametrize(
    ("largest", "unit", "power", "expected"),
    [
        (999, "mm", 3, ("mm³", 1)), (1000, "mm", 3, ("mL", 1e-3)), (2e7, "mm", 3, ("L", 1e-6)),
        (5e5, "µm", 3, ("µm³", 1)), (5e6, "µm", 3, ("mm³", 1e-9)), (5e13, "µm", 3, ("mL", 1e-12)),
        (8e8, "nm", 3, ("µm³", 1e-9)), (4e4, "nm", 1, ("µm", 1e-3)), (300, "nm", 1, ("nm", 1)),
        (50, "cm", 3, ("cm³", 1)),
        (0, "mm", 2, ("mm²", 1)), (1e9, "pixel", 3, ("pixel³", 1)), (float("inf"), "mm", 1, ("mm", 1)),
    ],
)  # fmt: skip
def test_a_unit_is_chosen_in_which_figures_are_read(largest, unit, power, expected) -> None:
    name, factor = readable_unit([largest, 0.0], unit, power)
    assert (name, factor) == (expected[0], pytest.approx(expected[1]))


@given(st.floats(-1e18, 1e18))
def test_no_figure_has_more_than_four_digits(value: float) -> None:
    digits = [c for c in quantity(value).partition("·")[0] if c in "0123456789"]
    assert len("".join(digits).strip("0")) <= 4
    assert "e" not in quantity(value)
