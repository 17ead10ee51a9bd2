"""Layers are compared where they are shown, and saved as they lie, whichever of napari's attributes puts them there."""

import nibabel as nib
import numpy as np
import pytest
from docked import docked
from scipy.spatial.transform import Rotation

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.io.loadsave import load_labels, save_labels
from napari_unetseg.core.volume import Labels
from napari_unetseg.errors import InputError
from napari_unetseg.plugin.annotate.layer import paint_on
from napari_unetseg.plugin.cleanup.job import ContextLayers
from napari_unetseg.plugin.layers.source import LayerSource, grid_on_screen
from support import PATIENCE

pytestmark = pytest.mark.usefixtures("warm_child")
BLOCK = np.zeros((6, 16, 16), np.uint8)
BLOCK[1:5, 4:12, 5:13] = 1
TURN = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
"""By 90 degrees about z."""
ELSEWHERE = {
    "translate": ({"translate": (0, 10, 12)}, "12 voxels apart"),
    "rotate": ({"rotate": 20}, "orientations differ"),
    "shear": ({"shear": (0, 0, 0.4)}, "orientations differ"),
    "affine": ({"affine": TURN}, "orientations differ"),
    "mirrored": ({"scale": (1, -1, 1)}, "orientations differ"),
}


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer(show=True)


@pytest.mark.parametrize("how", ELSEWHERE)
def test_layers_apart_are_no_pair(viewer, how):
    place, words = ELSEWHERE[how]
    one, other = viewer.add_labels(BLOCK, name="one"), viewer.add_labels(BLOCK.copy(), name="other", **place)
    image = viewer.add_image(BLOCK * 1.0, **place)
    for first, second in ((one, other), (other, one), (one, image)):
        with pytest.raises(InputError, match=words):
            grid_on_screen(LayerSource.of(first), LayerSource.of(second))
    assert grid_on_screen(LayerSource.of(other), LayerSource.of(image)) == LayerSource.of(other).grid
    with pytest.raises(InputError, match="other lies elsewhere"):
        paint_on(other, LayerSource.of(viewer.add_image(BLOCK * 1.0)))
    paint_on(other, LayerSource.of(image))


def test_clean_up_wants_its_image_on_the_labels(viewer):
    labels = LayerSource.of(viewer.add_labels(BLOCK, name="labels", scale=(2, 1, 1)))
    image = viewer.add_image(BLOCK * 1.0, scale=(2, 1, 1), translate=(4, 0, 0))
    with pytest.raises(InputError, match="2 voxels apart"):
        ContextLayers(image=LayerSource.of(image)).read(labels)
    image.translate = (0, 0, 0)
    grid, context = ContextLayers(image=LayerSource.of(image)).read(labels)
    assert (grid.spacing, context.image.grid) == ((2, 1, 1), grid)


def test_a_layer_without_a_size_beside_one_with_size_and_place_is_told_of(viewer):
    one = viewer.add_labels(BLOCK, name="mask")
    other = viewer.add_labels(BLOCK.copy(), name="scan", scale=(2, 0.5, 0.5), translate=(0, 3, 0), units=("mm",) * 3)
    with pytest.warns(UserWarning, match="mask does not say where it lies, .* with that of scan"):
        assert grid_on_screen(LayerSource.of(one), LayerSource.of(other)).spacing == (2, 0.5, 0.5)


def test_metrics_score_turned_layers_that_lie_on_each_other(viewer, qtbot):
    """One by its affine, the other by its rotation: as shown, they are one place."""
    viewer.add_labels(BLOCK, name="one", affine=TURN, scale=(3, 1, 1))
    viewer.add_labels(BLOCK.copy(), name="other", rotate=90, scale=(3, 1, 1))
    viewer.add_labels(BLOCK.copy(), name="straight", scale=(3, 1, 1))
    widget = docked(viewer, "Metrics")
    widget.choice.predicted_box.choose(viewer.layers["one"])
    widget.choice.reference_box.choose(viewer.layers["straight"])
    qtbot.waitUntil(lambda: "orientations differ" in widget.line.text(), timeout=PATIENCE)
    widget.choice.reference_box.choose(viewer.layers["other"])
    qtbot.waitUntil(lambda: "Mean Dice 1.000" in widget.summary.text(), timeout=PATIENCE)


@pytest.mark.parametrize(
    "place", [{"rotate": 30}, {"shear": (0, 0, 0.3), "translate": (5, 6, 7)}, {"scale": (2, -1, 1)}, {"affine": TURN}]
)
def test_a_saved_layer_lies_where_it_was_shown(viewer, tmp_path, place):
    layer = viewer.add_labels(BLOCK, units=("mm",) * 3, **place)
    layer.save(str(tmp_path / "l.nii.gz"), plugin="napari-unetseg")
    saved = nib.load(tmp_path / "l.nii.gz")
    right, anterior, superior = nib.affines.apply_affine(saved.affine, np.argwhere(saved.get_fdata() > 0)).T
    shown = np.array([layer.data_to_world(index) for index in np.argwhere(BLOCK > 0)])
    np.testing.assert_allclose(in_order(np.stack([superior, -anterior, -right], axis=1)), in_order(shown), atol=1e-4)


def in_order(places):
    """Places of voxels, whichever order a file keeps them in."""
    return np.array(sorted(places.round(3).tolist()))


def test_an_oblique_scan_and_labels_drawn_on_it_are_one_place(viewer, tmp_path):
    """napari shows it straight; its orientation in the patient stays in the record, and in what is saved."""
    affine = np.array([[0.0, 0, -1, 3], [0, -1, 0, 4], [2, 0, 0, 5], [0, 0, 0, 1]])
    affine[:3, :3] = Rotation.from_euler("xyz", (0.1, 0.3, -0.4)).as_matrix() @ affine[:3, :3]
    frame = ScannerFrame(tuple(map(tuple, affine.tolist())), ("L", "P", "S"))
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    save_labels(tmp_path / "scan.nii.gz", Labels(BLOCK, Grid(spacing, "mm", scanner=frame)))
    (scan,) = viewer.open(tmp_path / "scan.nii.gz", plugin="napari-unetseg", layer_type="labels")
    drawn = viewer.add_labels(
        BLOCK.copy(), name="drawn", scale=scan.scale, translate=scan.translate, units=scan.units
    )  # fmt: skip
    assert grid_on_screen(LayerSource.of(scan), LayerSource.of(drawn)).scanner is not None
    scan.save(str(tmp_path / "again.nii.gz"), plugin="napari-unetseg")
    assert np.allclose(nib.load(tmp_path / "again.nii.gz").affine, nib.load(tmp_path / "scan.nii.gz").affine)
    drawn.translate = drawn.translate + np.array([0, 3, 0])
    with pytest.raises(InputError, match="positions"):
        grid_on_screen(LayerSource.of(scan), LayerSource.of(drawn))


def test_saving_a_turned_layer_as_tiff_says_what_is_lost(viewer, tmp_path):
    layer = viewer.add_labels(BLOCK, affine=TURN)
    with pytest.warns(UserWarning, match=r"l\.ome\.tif: other programs will not see that it is turned"):
        layer.save(str(tmp_path / "l.ome.tif"), plugin="napari-unetseg")
    again = load_labels(tmp_path / "l.ome.tif")
    assert np.allclose(again.grid.affine_in("mm"), LayerSource.of(layer).grid.affine_in("mm"))
