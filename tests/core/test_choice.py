import numpy as np
import pytest

from napari_unetseg.core.card import ModelCard, VoxelSize
from napari_unetseg.core.choice import choose_model, rank_models
from napari_unetseg.core.structure import Structure
from napari_unetseg.core.volume import Grid, Volume
from napari_unetseg.errors import ModelError


def card(name: str, dimensions: int, spacing: float | None, unit: str = "µm", channels: int = 1) -> ModelCard:
    return ModelCard(
        name=name,
        title=name,
        description="",
        version="1",
        dimensions=3 if dimensions == 3 else 2,
        architecture={},
        channels=tuple(f"channel {i}" for i in range(channels)),
        voxel_size=None if spacing is None else VoxelSize(spacing=(spacing,) * 3, unit=unit),
        structures=(Structure(label=1, name="thing", colour="#ff0000"),),
        patch=(1, 64, 64),
        halo=(0, 8, 8),
    )


CARDS = [
    card("any", 3, None),
    card("brain", 3, 1, "mm"),
    card("nuclei", 3, 0.2),
    card("membrane", 3, 10, "nm"),
    card("flat", 2, None),
    card("two-channels", 3, 0.2, channels=2),
]


def image(spacing: float, unit: str, channels: int = 1, depth: int = 4, names: tuple[str, ...] = ()) -> Volume:
    return Volume(np.zeros((channels, depth, 4, 4), np.uint8), Grid((spacing,) * 3, unit), names)


def test_the_nearest_voxel_size_comes_first_whatever_the_unit() -> None:
    assert [c.name for c in rank_models(CARDS, image(4e-4, "mm"))] == ["nuclei", "any", "membrane", "brain"]
    assert choose_model(CARDS, image(0.02, "µm")).name == "membrane"
    assert choose_model(CARDS, image(900, "µm")).name == "brain"


def test_a_voxel_size_that_is_far_off_speaks_against_a_model() -> None:
    assert choose_model(CARDS, image(5, "µm")).name == "any"


def test_without_a_voxel_size_the_order_of_the_cards_stays() -> None:
    assert [c.name for c in rank_models(CARDS, image(1, "pixel"))] == ["any", "brain", "nuclei", "membrane"]


def test_only_models_of_the_dimension_and_the_channels_fit() -> None:
    assert [c.name for c in rank_models(CARDS, image(1, "pixel", depth=1))] == ["flat"]
    assert [c.name for c in rank_models(CARDS, image(1, "µm", channels=2))] == ["two-channels"]
    colour = image(1, "pixel", channels=3, depth=1, names=("red", "green", "blue"))
    assert [c.name for c in rank_models(CARDS, colour)] == ["flat"]


def test_where_no_model_fits_the_message_lists_them() -> None:
    with pytest.raises(ModelError, match="No model takes 3D images of 5 channels; there are: any, brain"):
        choose_model(CARDS, image(1, "µm", channels=5))
