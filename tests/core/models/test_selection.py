from collections.abc import Sequence

import numpy as np
import pytest

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.appearance import LENGTH, VERSION
from napari_unetseg.core.models.card import Appearance, ImageDescriptor, ModelCard, VerificationSet, VoxelSize
from napari_unetseg.core.models.selection import (
    Proposal,
    propose_model,
    rank_models,
    select_model,
    trial_models,
    trial_part,
)
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.volume import Structure, Volume
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


def chosen(cards: list[ModelCard], volume: Volume, descriptors: Sequence[ImageDescriptor] | None = None) -> str:
    return select_model(cards, volume, descriptors).ranked[0].name


def test_the_nearest_voxel_size_comes_first_whatever_the_unit() -> None:
    assert [c.name for c in rank_models(CARDS, image(4e-4, "mm"))] == ["nuclei", "any", "flat", "membrane", "brain"]
    assert chosen(CARDS, image(0.02, "µm")) == "membrane"
    assert chosen(CARDS, image(900, "µm")) == "brain"


def test_a_model_for_any_voxel_size_is_near_what_it_was_measured_at() -> None:
    rule = VerificationSet(name="cells", images="*.tif", spacing=(0.5, 0.3, 0.3), unit="µm")
    measured = card("measured", 3, None).model_copy(update={"held_out": (rule,)})
    assert chosen([*CARDS, measured], image(0.31, "µm")) == "measured"
    assert chosen([*CARDS, measured], image(0.2, "µm")) == "nuclei"
    assert chosen([*CARDS, measured], image(5, "µm")) == "any"


def test_a_voxel_size_that_is_far_off_speaks_against_a_model() -> None:
    assert chosen(CARDS, image(5, "µm")) == "any"


def test_without_a_voxel_size_the_order_of_the_cards_stays() -> None:
    assert [c.name for c in rank_models(CARDS, image(1, "pixel"))] == ["any", "brain", "nuclei", "membrane", "flat"]


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
    assert chosen([start, *CARDS], image(0.2, "µm")) == "nuclei"
    assert rank_models([start], image(0.2, "µm")) == trial_models([start], image(0.2, "µm")) == []


def test_models_for_any_voxel_size_come_before_those_whose_size_cannot_be_compared() -> None:
    cards = [card("brain", 3, 1, "mm"), card("any", 3, None)]
    assert [c.name for c in rank_models(cards, image(1, "pixel"))] == ["any", "brain"]


def test_2d_models_are_tried_on_stacks_too_and_those_that_would_refuse_are_not() -> None:
    cards = [*CARDS, card("flat-nm", 2, 10, "nm")]
    assert [c.name for c in trial_models(cards, image(0.3, "µm"))] == ["nuclei", "any", "flat"]
    assert [c.name for c in trial_models(cards, image(1, "pixel", depth=1))] == ["flat", "flat-nm"]
    assert trial_models(cards, image(1, "µm", channels=5)) == []


def looking(name: str, base: float, groups: int = 30, dimensions: int = 3, spacing: float | None = None) -> ModelCard:
    """A model whose training images have numbers around `base`."""
    random = np.random.default_rng(int(abs(base) * 10))
    table = random.normal(base, 1, (groups, LENGTH))
    appearance = Appearance(version=VERSION, descriptors=tuple(map(tuple, table.tolist())), groups=tuple(range(groups)))
    made = Structure(label=1, name=f"{name} thing", colour="#ff0000")
    return card(name, dimensions, spacing).model_copy(update={"appearance": appearance, "structures": (made,)})


def like(base: float) -> list[ImageDescriptor]:
    return [tuple(np.random.default_rng(5).normal(base, 1, LENGTH).tolist())]


def test_the_look_decides_among_models_whose_voxel_size_is_not_far_off() -> None:
    cards = [looking("zero", 0), looking("four", 4), looking("small", 8, spacing=0.2), card("plain", 3, None)]
    unknown = image(1, "pixel")
    assert [c.name for c in rank_models(cards, unknown, like(0))] == ["zero", "four", "small", "plain"]
    assert [c.name for c in rank_models(cards, unknown, like(8))] == ["small", "four", "zero", "plain"]
    assert [c.name for c in rank_models(cards, image(5, "µm"), like(8))] == ["four", "zero", "plain", "small"]
    assert chosen(cards, unknown, like(4)) == "four"
    assert chosen(cards, unknown) == "zero"


def test_a_model_is_likely_only_for_images_like_its_own() -> None:
    cards, unknown = [looking("zero", 0), looking("four", 4)], image(1, "pixel")
    assert propose_model(cards, unknown, like(0)).is_likely
    assert propose_model(cards, unknown, like(0)).warning == ""
    between = propose_model(cards, unknown, like(2.3))
    assert between.warning == "No bundled model was made for such images. Nearest: four."
    assert not propose_model(cards, unknown, like(-9)).is_likely


def test_nothing_is_denied_where_nothing_is_known() -> None:
    unknown = image(1, "pixel")
    assert propose_model([looking("zero", 0)], unknown).is_likely
    assert propose_model(CARDS, unknown, like(99)).is_likely
    assert propose_model([], unknown, like(0)) == Proposal((), is_likely=True)
    assert propose_model([], unknown, like(0)).warning == ""


def test_models_without_descriptors_of_this_version_never_block_and_are_ranked_last() -> None:
    old = card("old", 3, None).model_copy(update={"looks": ((0.5,) * 15,)})
    other = looking("future", 0)
    future = other.model_copy(update={"appearance": other.appearance.model_copy(update={"version": VERSION + 1})})  # type: ignore[union-attr]
    ranked = propose_model([old, future, looking("zero", 0)], image(1, "pixel"), like(0))
    assert [c.name for c in ranked.ranked] == ["zero", "old", "future"]
    assert ranked.is_likely


def test_a_user_s_model_of_one_image_counts() -> None:
    own = looking("own", -6, groups=1)
    proposal = propose_model(
        [looking("zero", 0), looking("four", 4), own], image(1, "pixel"), [own.appearance.descriptors[0]]
    )  # type: ignore[union-attr]
    assert proposal.ranked[0].name == "own"
    assert proposal.is_likely


def test_a_voxel_size_that_is_far_off_denies_even_what_looks_alike() -> None:
    proposal = propose_model([looking("small", 0, spacing=0.2)], image(90, "µm"), like(0))
    assert proposal.warning == "No bundled model was made for such images. Nearest: small."


def test_a_2d_model_is_proposed_for_stacks_that_look_like_its_images_alone() -> None:
    cards, stack = [looking("flat", 0, dimensions=2), looking("solid", 6)], image(1, "pixel")
    assert chosen(cards, stack, like(0)) == "flat"
    assert propose_model(cards, stack, like(0)).is_likely
    assert [c.name for c in rank_models(cards, image(1, "pixel", depth=1), like(6))] == ["flat"]
    twin = looking("twin", 0)
    assert chosen([*cards, twin], stack, like(0)) == "twin"


def test_a_number_that_small_training_images_lack_speaks_against_them() -> None:
    table = [(number, *(None,) * (LENGTH - 1)) for number in np.linspace(-1, 1, 20).tolist()]
    tiny = Appearance(version=VERSION, descriptors=tuple(table), groups=tuple(range(20)))
    cards = [card("tiny", 3, None).model_copy(update={"appearance": tiny}), looking("zero", 0)]
    assert chosen(cards, image(1, "pixel"), like(0)) == "zero"
    assert chosen(cards, image(1, "pixel"), [table[3]]) == "tiny"


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


def test_models_that_were_read_twice_are_compared_as_ever() -> None:
    first, again = looking("zero", 0), looking("zero", 0)
    for cards in ([first, looking("four", 4)], [again, looking("four", 4)]):
        assert propose_model(cards, image(1, "pixel"), like(0)).is_likely
    assert first == again
