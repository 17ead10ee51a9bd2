import numpy as np
import pytest

from napari_unetseg.core.models.card import ModelCard, VerificationSet, VoxelSize
from napari_unetseg.core.models.selection import rank_models, select_model, trial_models, trial_part
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Grid, Structure, Volume
from napari_unetseg.errors import ModelError


def card(name: str, dimensions: int, spacing: float | None, unit: str = "µm", channels: int = 1) -> ModelCard:
    return ModelCard(
        name=name,
        title=name,
        description="",
        version="1",
        dimensions=3 if dimensions == 3 else 2,
        architecture={"kind": "unet"},
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
    assert select_model(CARDS, image(0.02, "µm")).name == "membrane"
    assert select_model(CARDS, image(900, "µm")).name == "brain"


def test_a_model_for_any_voxel_size_is_near_what_it_was_measured_at() -> None:
    rule = VerificationSet(name="cells", images="*.tif", spacing=(0.5, 0.3, 0.3), unit="µm")
    measured = card("measured", 3, None).model_copy(update={"held_out": (rule,)})
    assert select_model([*CARDS, measured], image(0.31, "µm")).name == "measured"
    assert select_model([*CARDS, measured], image(0.2, "µm")).name == "nuclei"
    assert select_model([*CARDS, measured], image(5, "µm")).name == "any"


def test_a_voxel_size_that_is_far_off_speaks_against_a_model() -> None:
    assert select_model(CARDS, image(5, "µm")).name == "any"


def test_without_a_voxel_size_the_order_of_the_cards_stays() -> None:
    assert [c.name for c in rank_models(CARDS, image(1, "pixel"))] == ["any", "brain", "nuclei", "membrane"]


def test_only_models_of_the_dimension_and_the_channels_fit() -> None:
    assert [c.name for c in rank_models(CARDS, image(1, "pixel", depth=1))] == ["flat"]
    assert [c.name for c in rank_models(CARDS, image(1, "µm", channels=2))] == ["two-channels"]
    colour = image(1, "pixel", channels=3, depth=1, names=("red", "green", "blue"))
    assert [c.name for c in rank_models(CARDS, colour)] == ["flat"]


def test_where_no_model_fits_the_message_lists_them() -> None:
    with pytest.raises(ModelError, match="No model takes 3D images of 5 channels; there are: any, brain"):
        select_model(CARDS, image(1, "µm", channels=5))


def test_a_start_to_learn_from_is_never_chosen() -> None:
    start = card("general", 3, None).model_copy(update={"structures": ()})
    assert select_model([start, *CARDS], image(0.2, "µm")).name == "nuclei"
    assert rank_models([start], image(0.2, "µm")) == trial_models([start], image(0.2, "µm")) == []


def test_models_for_any_voxel_size_come_before_those_whose_size_cannot_be_compared() -> None:
    cards = [card("brain", 3, 1, "mm"), card("any", 3, None)]
    assert [c.name for c in rank_models(cards, image(1, "pixel"))] == ["any", "brain"]


def test_2d_models_are_tried_on_stacks_too_and_those_that_would_refuse_are_not() -> None:
    cards = [*CARDS, card("flat-nm", 2, 10, "nm")]
    assert [c.name for c in trial_models(cards, image(0.3, "µm"))] == ["nuclei", "any", "flat"]
    assert [c.name for c in trial_models(cards, image(1, "pixel", depth=1))] == ["flat", "flat-nm"]
    assert trial_models(cards, image(1, "µm", channels=5)) == []


def test_the_look_decides_among_models_whose_voxel_size_is_not_far_off() -> None:
    like = {"any": (5.0, 5.0), "brain": (0.0, 0.0), "nuclei": (9.0, 9.0), "membrane": (1.0, 1.0)}
    cards = [c.model_copy(update={"looks": (like[c.name],)}) if c.name in like else c for c in CARDS]
    unknown, descriptor = image(1, "pixel"), (0.0, 0.2)
    assert [c.name for c in rank_models(cards, unknown, descriptor)] == ["brain", "membrane", "any", "nuclei"]
    assert [c.name for c in rank_models(cards, image(0.2, "µm"), descriptor)] == ["any", "nuclei", "brain", "membrane"]
    assert [c.name for c in trial_models(cards, unknown, descriptor)] == ["brain", "membrane", "any", "nuclei", "flat"]
    assert select_model(cards, unknown, descriptor).name == "brain"
    assert select_model(cards, unknown).name == "any"
    assert select_model([*cards, card("own", 3, None)], image(0.2, "µm"), descriptor).name == "any"


def test_a_look_that_no_card_can_be_compared_with_changes_nothing() -> None:
    for seen in (image(0.2, "µm"), image(1, "pixel")):
        assert rank_models(CARDS, seen, (1.0, 2.0)) == rank_models(CARDS, seen)


PLAIN = SegmentSettings()


def stack(shape: tuple[int, int, int], spacing: float = 1.0) -> Volume:
    return Volume(np.broadcast_to(np.uint8(0), (1, *shape)), Grid((spacing,) * 3, "µm"))


def test_a_model_is_tried_around_the_middle_of_the_view_and_shows_its_slice() -> None:
    trial = trial_part(card("any", 3, None), stack((100, 1000, 1000)), (50, 500, 300), PLAIN)
    assert trial.crop == ((42, 58), (412, 588), (212, 388))
    assert trial.shown == ((8, 9), (0, 176), (0, 176))


def test_near_the_border_the_part_moves_inside() -> None:
    trial = trial_part(card("any", 3, None), stack((100, 1000, 1000)), (99, 0, 999), PLAIN)
    assert trial.crop == ((84, 100), (0, 176), (824, 1000))
    assert trial.shown[0] == (15, 16)
    small = trial_part(card("any", 3, None), stack((5, 30, 40)), (2, 10, 10), PLAIN)
    assert small.crop == ((0, 5), (0, 30), (0, 40))
    assert small.shown == ((2, 3), (0, 30), (0, 40))


def test_a_model_of_coarser_voxels_sees_more_and_shows_the_same() -> None:
    coarse = trial_part(card("coarse", 3, 2.0), stack((100, 1000, 1000)), (50, 500, 500), PLAIN)
    assert coarse.crop == ((34, 66), (324, 676), (324, 676))
    assert coarse.shown == ((16, 17), (88, 264), (88, 264))


def test_a_model_of_finer_voxels_shows_what_it_can_see() -> None:
    fine = trial_part(card("fine", 3, 0.5), stack((100, 1000, 1000)), (50, 500, 500), PLAIN)
    assert fine.crop == ((46, 54), (456, 544), (456, 544))
    assert fine.shown == ((4, 5), (0, 88), (0, 88))


def test_a_model_that_is_shown_less_detail_sees_more() -> None:
    half = trial_part(card("any", 3, None), stack((100, 1000, 1000)), (50, 500, 500), SegmentSettings(scale=0.5))
    assert half == trial_part(card("coarse", 3, 2.0), stack((100, 1000, 1000)), (50, 500, 500), PLAIN)


def test_a_2d_model_sees_one_slice_of_a_stack() -> None:
    trial = trial_part(card("flat", 2, None), stack((100, 1000, 1000)), (50, 500, 500), PLAIN)
    assert trial.crop == ((50, 51), (244, 756), (244, 756))
    assert trial.shown == ((0, 1), (168, 344), (168, 344))
