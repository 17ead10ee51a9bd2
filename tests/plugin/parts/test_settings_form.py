"""Forms of settings: made from records, in either of their kinds, and read back into them."""

from dataclasses import asdict, dataclass
from typing import Literal

import pytest
from pydantic import BaseModel, Field, PositiveInt
from qtpy.QtWidgets import QAbstractSpinBox

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.models.fine_tuned_card import FineTuneSettings
from napari_unetseg.core.settings import help_of, setting
from napari_unetseg.plugin.parts.settings_form import Parameter, SettingsForm, parameters_of
from napari_unetseg.plugin.parts.step_form import KINDS, new_step


@dataclass(frozen=True)
class Record:
    weight: float = setting(1.0, "How much it counts.", label="Structures", limits=(1.0, 5.0), step=0.5, unit="×")
    seed: int = setting(0, "Seed.")
    is_flat: bool = setting(False, "Whether it is flat.")


class Model(BaseModel):
    along: Literal["distance", "edges"] = Field(default="distance", description="Where to cut.")
    radius: float = Field(gt=0)
    window: int = Field(default=3, ge=1, le=20)
    tile: tuple[PositiveInt, PositiveInt, PositiveInt] = (8, 16, 16)


@pytest.fixture
def show(qtbot):
    def make(record, values, names=None):
        form = SettingsForm(parameters_of(record, names), values)
        qtbot.addWidget(form)
        return form

    return make


def test_fields_become_parameters():
    assert parameters_of(Record, ["weight"]) == (
        Parameter("weight", float, "Structures", "How much it counts.", (1.0, 5.0), 0.5, "×"),
    )
    seed, flat = parameters_of(Record, ["seed", "is_flat"])
    assert (seed.label, seed.limits) == ("Seed", (0, 2**31 - 1))
    assert (flat.label, flat.annotation) == ("Is flat", bool)
    radius, window = parameters_of(Model, ["radius", "window"])
    assert radius.limits == (1e-4, 1e12)
    assert window.limits == (1, 20)


def test_a_dataclass_is_shown_and_read_back(show, qtbot):
    form = show(Record, asdict(Record()))
    assert Record(**form.values) == Record()
    assert form["weight"].native.text() == "1.0 ×"
    assert form["weight"].native.toolTip() == help_of(Record, "weight")
    assert form["is_flat"].native.text() == "is flat"
    with qtbot.waitSignal(form.changed):
        form["weight"].native.stepUp()
    with qtbot.waitSignal(form.changed):
        form["is_flat"].native.click()
    with qtbot.waitSignal(form.changed):
        form["seed"].native.setValue(7)
    assert Record(**form.values) == Record(1.5, 7, True)
    form["weight"].native.setValue(99)
    assert form.values["weight"] == 5


def test_a_model_is_shown_and_read_back(show, qtbot):
    form = show(Model, Model(radius=0.0325).model_dump())
    assert Model(**form.values) == Model(radius=0.0325)
    assert form["radius"].native.text() == "0.0325"
    form["radius"].value = 3
    assert form["radius"].native.text() == "3"
    form["radius"].value = 0.0325
    with qtbot.waitSignal(form.changed):
        form["along"].native.setCurrentText("edges")
    with qtbot.waitSignal(form.changed):
        form["tile"].native.findChildren(QAbstractSpinBox)[-1].setValue(32)
    form["window"].native.setValue(50)
    form["radius"].native.setValue(-1)
    assert Model(**form.values) == Model(along="edges", radius=1e-4, window=20, tile=(8, 16, 32))


def test_values_are_shown_with_one_word_of_it_or_none(show, qtbot):
    form = show(Record, asdict(Record()))
    heard = []
    form.changed.connect(lambda: heard.append(form.values))
    form.show_values({"weight": 1.0, "elsewhere": 3})
    assert heard == []
    form.show_values({"weight": 2.5, "seed": 4})
    assert heard == [{"weight": 2.5, "seed": 4, "is_flat": False}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [0, 1])
def test_no_number_that_a_form_takes_is_refused_by_its_record(show, kind, bound):
    step = new_step(kind, Grid((2.0, 0.5, 0.5), "µm"), (8, 16, 16))
    names = [name for name in kind.model_fields if name not in ("kind", "unit", "structures")]
    form = show(kind, step.model_dump(), names)
    unit = {"unit": step.unit} if "unit" in kind.model_fields else {}
    assert kind(**form.values, **unit) == step
    for parameter in parameters_of(kind, names):
        if parameter.annotation in (int, float):
            form[parameter.name].value = parameter.limits[bound]
    kind(**form.values, **unit)


@pytest.mark.parametrize("bound", [0, 1])
def test_settings_of_training_hold_the_limits_of_their_form(bound):
    for parameter in parameters_of(FineTuneSettings, ["structure_weight", "boundary_weight"]):
        FineTuneSettings(**{parameter.name: parameter.limits[bound]})
