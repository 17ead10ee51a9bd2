"""More settings of the Learn widget: they are those of fine-tuning, and advice raises them."""

import pytest

from napari_unetseg.core.models.advice import Advice
from napari_unetseg.core.models.catalogue import BUNDLED, read_card
from napari_unetseg.core.models.fine_tuned_card import MOST_WEIGHT, FineTuneSettings
from napari_unetseg.plugin.learn.settings import LearnSettings


@pytest.fixture
def more(qtbot):
    more = LearnSettings()
    qtbot.addWidget(more)
    return more


def test_they_begin_with_the_defaults_of_fine_tuning(more):
    assert more.settings(minutes=1) == FineTuneSettings(minutes=1)
    assert more.settings(minutes=0) == FineTuneSettings(steps=0)
    assert not more.isExpanded()


def test_each_control_is_a_setting_and_tells_of_its_changes(more, qtbot):
    for change in (
        lambda: more.weight.setValue(3.5),
        lambda: more.boundary.setValue(0.4),
        lambda: more.scales.setChecked(True),
        lambda: more.seed.setValue(11),
        lambda: more.whole.setChecked(True),
    ):
        with qtbot.waitSignal(more.changed):
            change()
    expected = FineTuneSettings(
        minutes=2, seed=11, structure_weight=3.5, boundary_weight=0.4, whole=True, several_scales=True
    )
    assert more.settings(minutes=2) == expected
    more.weight.setValue(99)
    assert more.settings(minutes=2).structure_weight == MOST_WEIGHT
    for control in (more.whole, more.keep, more.weight, more.boundary, more.scales, more.seed):
        assert control.toolTip()


def test_advice_raises_settings_and_opens_the_section(more):
    more.follow([Advice(1, "", "structure_weight", 4.0), Advice(2, "", "several_scales", 1.0)])
    assert more.settings(1) == FineTuneSettings(minutes=1, structure_weight=4, several_scales=True)
    assert more.isExpanded()


def card(name):
    return read_card(BUNDLED / f"{name}.safetensors")


def test_structures_can_be_kept_only_where_the_start_has_some(more):
    more.set_start(card("axon-myelin-2d"), 1)
    more.keep.setChecked(True)
    assert more.settings(1).keep_structures
    assert more.kept_names == {2: "axon", 3: "myelin"}
    assert "axon (2), myelin (3)" in more.about.text()
    assert not more.whole.isEnabled()
    more.set_start(card("nuclei-2d"), 1)
    assert not more.settings(1).keep_structures
    assert more.kept_names == {}
    assert (more.keep.isEnabled(), more.whole.isEnabled()) == (False, True)
    assert "separate objects" in more.about.text()
    more.set_start(None, 1)
    assert "nothing to keep" in more.about.text()


def test_what_has_no_effect_is_said(more):
    more.set_start(card("axon-myelin-2d"), 0)
    more.whole.setChecked(True)
    assert "Without effect" in more.about.text()
    more.set_start(card("axon-myelin-2d"), 1)
    assert "Without effect" not in more.about.text()
    more.set_start(card("hippocampus-3d"), 1)
    assert "always trained itself" in more.about.text()
    assert (more.keep.isEnabled(), more.whole.isEnabled()) == (True, False)
