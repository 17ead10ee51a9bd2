"""More settings of the Learn widget: they are those of fine-tuning, and advice raises them."""

import pytest

from napari_unetseg.core.models.advice import Advice
from napari_unetseg.core.models.catalogue import BUNDLED, read_card
from napari_unetseg.core.models.fine_tuned_card import MOST_WEIGHT, FineTuneSettings
from napari_unetseg.core.settings import help_of
from napari_unetseg.plugin.learn.settings import NAMES, LearnSettings


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
        lambda: more.form["structure_weight"].native.setValue(3.5),
        lambda: more.form["boundary_weight"].native.setValue(0.4),
        lambda: more.form["several_scales"].native.click(),
        lambda: more.form["seed"].native.setValue(11),
        lambda: more.form["whole"].native.click(),
    ):
        with qtbot.waitSignal(more.changed):
            change()
    expected = FineTuneSettings(
        minutes=2, seed=11, structure_weight=3.5, boundary_weight=0.4, whole=True, several_scales=True
    )
    assert more.settings(minutes=2) == expected
    more.form["structure_weight"].native.setValue(99)
    assert more.settings(minutes=2).structure_weight == MOST_WEIGHT
    for name in NAMES:
        assert help_of(FineTuneSettings, name) in more.form[name].native.toolTip()


def test_advice_raises_settings_and_opens_the_section(more):
    more.follow([Advice((1,), "", {"structure_weight": 4.0}), Advice((2,), "", {"several_scales": 1.0})])
    assert more.settings(1) == FineTuneSettings(minutes=1, structure_weight=4, several_scales=True)
    assert more.isExpanded()


def card(name):
    return read_card(BUNDLED / f"{name}.safetensors")


def test_structures_can_be_kept_only_where_the_start_has_some(more):
    more.set_start(card("axon-myelin-2d"), 1)
    more.form["keep_structures"].native.click()
    assert more.settings(1).keep_structures
    assert more.kept_names == {2: "axon", 3: "myelin"}
    assert "axon (2), myelin (3)" in more.about.text()
    assert not more.form["whole"].enabled
    more.set_start(card("nuclei-2d"), 1)
    assert not more.settings(1).keep_structures
    assert more.kept_names == {}
    assert (more.form["keep_structures"].enabled, more.form["whole"].enabled) == (False, True)
    assert "separate objects" in more.about.text()
    more.set_start(None, 1)
    assert "nothing to keep" in more.about.text()


def test_what_has_no_effect_is_said(more):
    more.set_start(card("axon-myelin-2d"), 0)
    more.form["whole"].native.click()
    assert "Without effect" in more.about.text()
    more.set_start(card("axon-myelin-2d"), 1)
    assert "Without effect" not in more.about.text()
    more.set_start(card("hippocampus-3d"), 1)
    assert "always trained itself" in more.about.text()
    assert (more.form["keep_structures"].enabled, more.form["whole"].enabled) == (True, False)
