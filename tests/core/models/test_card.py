"""Cards are checked when they are read, and travel as JSON."""

import pydantic
import pytest

from napari_unetseg.core.models.card import ModelCard, Score, VoxelSize
from napari_unetseg.core.volume import Structure

FIELDS = {
    "name": "nuclei-3d", "title": "Nuclei", "description": "", "version": "1", "dimensions": 3,
    "architecture": {"kind": "unet"},
    "structures": ({"label": 1, "name": "nucleus", "colour": "#00ff00", "channels": (1, 2), "seed_channel": 2},),
    "patch": (16, 32, 32), "halo": (8, 8, 8),
}  # fmt: skip


def test_a_card_survives_json():
    card = ModelCard(
        **FIELDS,
        voxel_size=VoxelSize(spacing=(1, 0.5, 0.5), unit="µm"),
        scores=(Score(held_out="x", structure="nucleus", metric="Dice", value=0.8, images=3),),
    )
    assert ModelCard.model_validate_json(card.model_dump_json()) == card


def test_limits_of_the_voxel_size_in_earlier_cards_are_read_over():
    size = {"spacing": (2, 1, 1), "unit": "µm", "smallest": (1, 0.5, 0.5), "largest": (4, 2, 2)}
    card = ModelCard.model_validate({**FIELDS, "voxel_size": size})
    assert card.voxel_size == VoxelSize(spacing=(2, 1, 1), unit="µm")
    assert "smallest" not in card.model_dump_json()


def test_a_seed_channel_makes_objects():
    assert ModelCard(**FIELDS).finds_objects
    plain = {"label": 1, "name": "nucleus", "colour": "#00ff00", "channels": (1,)}
    assert not ModelCard(**{**FIELDS, "structures": (plain,)}).finds_objects


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../escape"},
        {"name": "Upper Case"},
        {"dimensions": 4},
        {"format_version": 2},
        {"unheard_of": 1},
        {"patch": (1, 2)},
        {"looks": ((0.5, float("nan")),)},
        {"appearance": {"version": 2, "descriptors": ((0.5, 1.0), (0.5,)), "groups": (0, 0)}},
        {"appearance": {"version": 2, "descriptors": ((0.5, 1.0),), "groups": ()}},
        {"structures": ({"label": 2, "name": "a", "colour": "#000000"},)},
        {"structures": ({"label": 1, "name": "a", "colour": "red"},)},
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(pydantic.ValidationError):
        ModelCard(**{**FIELDS, **wrong})


def test_structures_are_frozen():
    with pytest.raises(pydantic.ValidationError):
        Structure(label=1, name="a", colour="#000000").label = 2
