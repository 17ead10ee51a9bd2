import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.card import ModelCard, VoxelSize
from napari_unetseg.core.postprocess.from_prediction import (
    classes_of,
    objects_of,
    probabilities_of,
    smallest_part,
    wants_objects,
)
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
from napari_unetseg.errors import SettingsError


def card(seeds: bool = True, names: tuple[str, ...] = ("nucleus",), **fields: object) -> ModelCard:
    structures = tuple(
        Structure(label=i, name=name, colour="#ff0000", seed_channel=2 if seeds and i == len(names) else None)
        for i, name in enumerate(names, start=1)
    )
    facts = {
        "name": "model", "title": "", "description": "", "version": "1", "dimensions": 3,
        "architecture": {"kind": "unet"},
        "structures": structures, "patch": (8, 8, 8), "halo": (2, 2, 2),
    }  # fmt: skip
    return ModelCard.model_validate(facts | fields)


def image(shape: tuple[int, int, int] = (1, 4, 9), spacing: float = 0.5, unit: str = "µm") -> Volume:
    return Volume(np.zeros((1, *shape), np.uint8), Grid((spacing,) * 3, unit), name="cells")


@pytest.mark.parametrize(
    ("write", "seeds", "objects"),
    [("auto", True, True), ("auto", False, False), ("classes", True, False), ("probabilities", True, False),
     ("objects", True, True), ("objects", False, True)],
)  # fmt: skip
def test_what_comes_out(write: str, seeds: bool, objects: bool) -> None:
    assert wants_objects(card(seeds), SegmentSettings(write=write)) is objects  # type: ignore[arg-type]


def test_objects_of_several_classes_without_cores_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"model finds classes \(axon, myelin\)"):
        wants_objects(card(seeds=False, names=("axon", "myelin")), SegmentSettings(write="objects"))


def test_the_smallest_object_follows_the_voxel_size() -> None:
    trained = card(minimum_object=80, voxel_size=VoxelSize(spacing=(1, 1, 1), unit="µm"))
    default = SegmentSettings()
    assert smallest_part(trained, image((3, 4, 4)), default) == 80 * 8
    assert smallest_part(trained, image((1, 4, 4)), default) == 80 * 4
    assert smallest_part(trained, image((3, 4, 4), 500, "nm"), default) == 80 * 8
    assert smallest_part(trained, image((3, 4, 4), 1, "pixel"), default) == 80
    assert smallest_part(card(minimum_object=80), image((3, 4, 4)), default) == 80
    assert smallest_part(trained, image((3, 4, 4)), SegmentSettings(smallest=2.0)) == 16
    half = SegmentSettings(scale=0.5)
    assert smallest_part(card(minimum_object=80), image((3, 4, 4)), half) == 80 * 8
    assert smallest_part(card(minimum_object=80, dimensions=2), image((3, 4, 4)), half) == 80 * 4
    assert smallest_part(trained, image((3, 4, 4)), SegmentSettings(scale=2)) == 80
    assert smallest_part(trained, image((1, 4, 4)), SegmentSettings(smallest=2.0)) == 8
    assert smallest_part(trained, image((3, 4, 4)), SegmentSettings(smallest=1e308)) == 2**40


def test_classes_lose_parts_below_the_smallest_size() -> None:
    classes = np.array([[[1, 1, 1, 0, 2, 2, 0, 0, 1]]], np.uint8)
    labels = classes_of(classes, card(names=("axon", "myelin")), image((1, 1, 9)), smallest=3)
    assert labels.array.tolist() == [[[1, 1, 1, 0, 0, 0, 0, 0, 0]]]
    assert not labels.are_objects
    assert [s.name for s in labels.structures] == ["axon", "myelin"]


def test_touching_objects_are_parted_by_their_cores() -> None:
    mask = np.zeros((1, 15, 34), np.uint8)
    mask[0, 1:14, 1:33] = 1
    seeds = np.zeros(mask.shape, bool)
    seeds[0, 4:11, 4:13], seeds[0, 4:11, 21:30] = True, True
    labels = objects_of(mask, seeds, card(), image(mask.shape), smallest=0)
    assert labels.are_objects
    np.testing.assert_array_equal(labels.array > 0, mask > 0)
    assert labels.array[0, 7, [5, 28]].tolist() == [1, 2]


def test_objects_are_those_of_the_structure_that_has_cores() -> None:
    classes = np.array([[[1, 1, 0, 2, 2, 0, 2]]], np.uint8)
    labels = objects_of(classes, classes == 2, card(names=("cytoplasm", "nucleus")), image((1, 1, 7)), smallest=0)
    assert labels.array.tolist() == [[[0, 0, 0, 1, 1, 0, 2]]]
    assert [s.name for s in labels.structures] == ["nucleus"]


def test_without_cores_connected_parts_are_objects() -> None:
    classes = np.array([[[1, 0, 1, 1]]], np.uint8)
    assert objects_of(classes, None, card(seeds=False), image((1, 1, 4)), 0).array.tolist() == [[[1, 0, 2, 2]]]


def test_probabilities_are_named_after_their_structures() -> None:
    soft = np.zeros((3, 1, 4, 9), np.float16)
    volume = probabilities_of(soft, card(names=("axon", "myelin")), image())
    assert volume.channels == ("background", "axon", "myelin")
    assert volume.grid == image().grid
