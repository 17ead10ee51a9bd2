"""Headings name their unit, figures are short, and the copied text is what a spreadsheet takes."""

import math

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.columns import as_text, cell, columns_of, first_columns
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.metrics.table import table_rows
from napari_unetseg.core.volume import Labels, Structure


def rows_of(flat, unit="mm", **more):
    array = np.zeros((1 if flat else 3, 4, 4), np.uint8)
    array[:, 1:3, 1:3] = 1
    labels = Labels(array, Grid((3.0, 1.0, 1.0), unit), (Structure(label=1, name="liver", colour="#00ff00"),), **more)
    return table_rows(evaluate(labels, labels))


def headings(rows, dimensions):
    return {column.key: column.heading for column in columns_of(rows, dimensions)}


def test_lengths_areas_and_volumes_name_their_unit():
    solid, flat = headings(rows_of(flat=False), 3), headings(rows_of(flat=True, unit="µm"), 2)
    assert (solid["hausdorff95"], solid["volume"], solid["dice"]) == ("HD95 [mm]", "Volume [mm³]", "Dice")
    assert (flat["hausdorff95"], flat["volume"]) == ("HD95 [µm]", "Area [µm²]")
    assert solid["volume_difference_percent"] == "Difference [%]"


def test_measures_have_headings_too_and_unknown_ones_are_readable():
    row = {"label": 1, "name": "a", "voxels": 3, "surface": 2.0, "mean_intensity_dapi": 7.0, "unit": "nm"}
    assert list(headings([row], 3).values()) == ["Voxels", "Surface [nm²]", "Mean intensity dapi"]
    assert headings([row], 2)["surface"] == "Perimeter [nm]"


def test_columns_in_which_nothing_applies_are_left_out():
    rows = [{"name": "a", "dice": math.nan, "iou": 0.5, "parts": None, "unit": "mm"}]
    assert list(headings(rows, 3)) == ["iou"]


def test_dice_comes_first():
    assert [column.key for column in columns_of(rows_of(flat=False), 3)][:9] == [
        "dice", "iou", "precision", "sensitivity", "specificity", "hausdorff", "hausdorff95", "assd", "nsd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.87654, "0.877"), (1.0, "1.000"), (0.0, "0"), (0.001234, "0.001234"), (12345.6, "12 350"), (7, "7"),
        (12345, "12 340"), (math.inf, "∞"), (-math.inf, "−∞"), (math.nan, "–"), (None, "–"), (-1.5, "-1.500"),
    ],
)  # fmt: skip
def test_figures_are_short(value, text):
    assert cell(value) == text


def test_the_copied_text_has_headings_tabs_and_six_digits():
    rows = [
        {"label": 1, "name": "liver", "dice": 2 / 3, "hausdorff": math.inf, "unit": "mm"},
        {"label": 2, "name": "spleen", "dice": math.nan, "hausdorff": 1.5, "unit": "mm"},
    ]
    text = as_text(rows, columns_of(rows, 3))
    assert text == "structure\tDice\tHD [mm]\nliver\t0.666667\tinf\nspleen\t\t1.5\n"


def test_a_column_has_the_unit_in_which_its_largest_figure_is_read():
    """A liver and a bead: both in mL; the copy is in the heading's unit too."""
    rows = [
        {"label": 1, "name": "liver", "volume": 1_534_567.0, "hausdorff": 12.0, "unit": "mm"},
        {"label": 2, "name": "bead", "volume": 4.2, "hausdorff": math.inf, "unit": "mm"},
    ]
    columns = columns_of(rows, 3)
    assert [column.heading for column in columns] == ["HD [mm]", "Volume [mL]"]
    assert [[column.text(row) for column in columns] for row in rows] == [["12", "1 535"], ["∞", "0.0042"]]
    assert as_text(rows, columns).splitlines()[1] == "liver\t12\t1534.57"
    assert columns_of([rows[1]], 3)[1].heading == "Volume [mm³]"
    pixels = [{"name": "a", "volume": 3e7, "unit": "pixel"}]
    assert columns_of(pixels, 3)[0].heading == "Volume [pixel³]"


def test_what_matters_first_is_few_and_is_what_was_asked():
    compared = columns_of(rows_of(flat=False), 3)
    assert [column.key for column in first_columns(compared)] == ["dice", "iou", "hausdorff95"]
    assert "specificity" in [column.key for column in first_columns(compared, ["specificity"])]
    alone = columns_of([{"name": "a", "voxels": 3, "volume": 3.0, "surface": 2.0, "parts": 1, "unit": "mm"}], 3)
    assert [column.key for column in first_columns(alone)] == ["volume", "surface", "parts"]
