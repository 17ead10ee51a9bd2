import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unetseg.core.units import parse_spacing, parse_unit
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
