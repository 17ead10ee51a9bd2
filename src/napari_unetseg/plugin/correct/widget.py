"""The *Correct* widget: brush the mistakes of a result away, and let the model learn from that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from napari.layers import Image, Layer
from napari.layers import Labels as LabelsLayer
from napari.viewer import Viewer
from qtpy.QtWidgets import QHBoxLayout, QPushButton

from napari_unetseg.core.annotations.corrections import painted_structures
from napari_unetseg.core.annotations.sparse_labels import BACKGROUND, UNPAINTED
from napari_unetseg.core.models.catalogue import BUNDLED, find_maker, list_models
from napari_unetseg.core.units import quantity
from napari_unetseg.core.volume import Labels, Structure
from napari_unetseg.errors import InputError, UnetsegError
from napari_unetseg.plugin.annotate.layer import BRUSH, bind_keys, labels_on
from napari_unetseg.plugin.annotate.table import DICE, PaintTable
from napari_unetseg.plugin.annotate.watch import PaintWatch
from napari_unetseg.plugin.correct.correction import Correction
from napari_unetseg.plugin.layers.identity import same_layer
from napari_unetseg.plugin.layers.marks import MENDED, is_mended, is_painted, is_preview
from napari_unetseg.plugin.layers.source import METADATA, LayerSource
from napari_unetseg.plugin.layers.viewport import axis_in_view, index_on_screen
from napari_unetseg.plugin.parts.docks import open_widget
from napari_unetseg.plugin.parts.fields import LayerBox, Panel, form, note, show_row
from napari_unetseg.plugin.parts.job_bar import PLAIN, RED
from napari_unetseg.plugin.parts.model_picker import ModelPicker

RIGHT_KEY = "Control-Enter"
OPACITY = 0.6


class Learns(Protocol):
    """What *Correct* asks of the *Learn* widget."""

    def correct(self, image: Layer, names: Mapping[int, str], model: str | None) -> LabelsLayer | None:
        """The layer that keeps corrections."""

    def learn_from(self, paint: LabelsLayer) -> None:
        """Learn from what such a layer keeps."""


class CorrectWidget(Panel):
    """Turns what a person changes in a copy of a result into paint, and hands it to *Learn*.

    Parameters
    ----------
    napari_viewer : Viewer
        napari hands itself over by this name.
    """

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._correction: Correction | None = None
        self._touched: set[int] = set()
        self._maker: str | None = None
        self._watch = PaintWatch(self)
        self._build()
        self._connect()
        self._show_result()

    def _build(self) -> None:
        self._top = form()
        self.rows.addLayout(self._top)
        self.result_box = LayerBox(self._viewer, _may_be_corrected)
        self.result_box.setToolTip("The labels to mend. They are left as they are: a copy is mended.")
        self.image_box = LayerBox(
            self._viewer, lambda layer: isinstance(layer, Image) and not is_preview(layer), follows=False
        )
        self.image_box.setToolTip("The image that the result was found in.")
        self.model = ModelPicker([card for card in list_models() if not card.is_start])
        self.model.setToolTip("The model that made the result: learning goes on from it.")
        for label, field in (("Result", self.result_box), ("Image", self.image_box), ("Made by", self.model)):
            self._top.addRow(label, field)
        self.about = note()
        self.correct_button = QPushButton("Correct")
        self.correct_button.setToolTip("Add a copy of the result to mend, with napari's own brush, eraser and fill.")
        self.table = PaintTable()
        self.table.hideColumn(DICE)
        self.table.setEditTriggers(PaintTable.EditTrigger.NoEditTriggers)  # structures are named in Learn
        self.right_button = QPushButton("This slice is right")
        self.right_button.setCheckable(True)
        self.right_button.setToolTip("All of the slice in view counts as corrected. Ctrl+Enter does the same.")
        self.line = note()
        self.learn_button = QPushButton("Learn from the corrections")
        for button in (self.correct_button, self.learn_button):
            button.setMinimumHeight(34)
            button.setStyleSheet("font-weight: bold;")
        self.learn_button.setToolTip("Go on from the model that made the result. What you corrected stays as it is.")
        self.rows.addWidget(self.about)
        self.rows.addWidget(self.correct_button)
        self.rows.addWidget(self.table)
        row = QHBoxLayout()
        row.addWidget(self.right_button, 1)
        self.rows.addLayout(row)
        for part in (self.line, self.learn_button):
            self.rows.addWidget(part)
        self.rows.addStretch(1)

    def _connect(self) -> None:
        self.result_box.layer_changed.connect(self._show_result)
        self.image_box.layer_changed.connect(self._show)
        self.model.model_changed.connect(self._show)
        self.correct_button.clicked.connect(self._begin)
        self.right_button.clicked.connect(self._mark)
        self.learn_button.clicked.connect(self._learn)
        self.table.picked.connect(self._pick)
        self._watch.stroked.connect(self._follow)
        self._watch.touched.connect(self._follow_all)
        self._watch.picked.connect(lambda label: self.table.mark(label + BACKGROUND))
        self._viewer.dims.events.current_step.connect(self._show_right)
        self._viewer.layers.events.inserted.connect(self._after_insertion)
        self._viewer.layers.events.removed.connect(self._after_removal)

    def _show_result(self) -> None:
        """Guess the image and the model of another result."""
        result = self.result_box.layer
        self._maker = maker_of(result) if result is not None else None
        if result is not None:
            image = next((layer for layer in reversed(self._viewer.layers) if _lies_on(result, layer)), None)
            self.image_box.choose(image)
            if self._maker is not None:
                self.model.take(self._maker)
        self._show()

    def _show(self) -> None:
        """Bring what depends on the choices up to date."""
        result, image = self.result_box.layer, self.image_box.layer
        needs_model = result is not None and not is_preview(result)
        show_row(self._top, self.model, needs_model)
        if result is None:
            self.about.setText("Segment an image, or open labels, to have something to correct.")
        elif image is None:
            self.about.setText("Open the image that these labels belong to.")
        elif needs_model and self._maker is None:
            self.about.setText("Which model made this is not recorded: choose the one to go on from.")
        else:
            self.about.setText("")
        self.about.setVisible(bool(self.about.text()))
        self.correct_button.setEnabled(result is not None and image is not None)
        is_begun = self._correction is not None
        for part in (self.table, self.right_button, self.learn_button, self.line):
            part.setVisible(is_begun)
        self._show_right()

    def _begin(self) -> None:
        """Add a copy to mend, and the layer that keeps what is corrected."""
        result, image = self.result_box.layer, self.image_box.layer
        source = LayerSource.of(image, time=index_on_screen(self._viewer, image, "T"))
        try:
            labels = labels_on(result, source, index_on_screen(self._viewer, result, "T"))
            structures = _structures(labels)
            names = {structure.label + BACKGROUND: structure.name for structure in structures}
            paint = self._learn_widget().correct(image, names, None if is_preview(result) else self.model.model)
        except UnetsegError as error:
            self._say(str(error), error=True)
            return
        open_widget(self._viewer, "Correct")
        if paint is None:
            self._say("Nothing has been learned on this image yet: choose a result of Segment.", error=True)
            return
        before = self._correction
        correction = Correction(source, labels, self._copy(source, labels, result), paint)
        if before is not None and same_layer(before.paint, paint):
            correction.right = before.right
        self._take_up(correction, structures)

    def _take_up(self, correction: Correction, structures: tuple[Structure, ...]) -> None:
        layer = correction.layer
        self._correction, self._touched = correction, set()
        layer.events.paint.connect(self._note_stroke)
        bind_keys(layer, self._pick)
        layer.bind_key(RIGHT_KEY, self._press_right, overwrite=True)
        self._watch.watch(layer)
        self.table.show_structures(painted_structures(structures))
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        layer.selected_label = 1
        self._show()
        self._show_counts()
        self._say(f"Mend {layer.name}: brush, erase or fill what is wrong.")

    def _copy(self, source: LayerSource, labels: Labels, result: LabelsLayer) -> LabelsLayer:
        """An editable copy of the result, in its place; the result itself is out of the way, not gone."""
        result.opacity = 0.0  # not hidden: napari may crash where a hidden layer is removed
        data, attributes = source.labels(labels, f"{result.name} (corrected)")
        if self._correction is not None and is_preview(result):  # another round, on what was learned
            layer = self._correction.layer
            layer.data, layer.opacity = np.array(data), OPACITY
            return layer
        attributes["metadata"][METADATA][MENDED] = True
        layer = LabelsLayer(np.array(data), opacity=OPACITY, **attributes)
        layer.brush_size = BRUSH
        self._viewer.add_layer(layer)
        return layer

    def _note_stroke(self, event: Any) -> None:
        if self._correction is not None:
            self._touched |= self._correction.slices_of(event.value)

    def _follow(self) -> None:
        touched, self._touched = self._touched, set()
        if self._correction is not None:
            self._correction.follow(sorted(touched))
            self._show_counts()

    def _follow_all(self) -> None:
        """Anything may have changed: an undone stroke says nothing."""
        if self._correction is not None:
            self._correction.follow()
            self._show_counts()

    def _press_right(self, _layer: LabelsLayer) -> None:
        self.right_button.click()

    def _mark(self) -> None:
        correction = self._correction
        if correction is not None:
            axis = axis_in_view(self._viewer, correction.layer)
            index = index_on_screen(self._viewer, correction.layer, axis)
            correction.toggle(axis.lower(), index)
            self._show_right()
            self._show_counts()

    def _show_right(self, _event: object = None) -> None:
        """Whether the slice in view is marked."""
        correction = self._correction
        if correction is not None and correction.layer in self._viewer.layers:
            axis = axis_in_view(self._viewer, correction.layer)
            index = index_on_screen(self._viewer, correction.layer, axis)
            self.right_button.setChecked(index in correction.right[axis.lower()])

    def _show_counts(self) -> None:
        correction = self._correction
        if correction is None:
            return
        counts = correction.counts()
        self.table.show_painted(counts)
        marks = ", ".join(
            f"{axis} {', '.join(map(str, sorted(indices)))}" for axis, indices in correction.right.items() if indices
        )
        total = sum(count for value, count in enumerate(counts) if value != UNPAINTED)
        self._say(f"{quantity(total)} voxels to learn from." + (f" Right: {marks}." if marks else ""))
        self.learn_button.setEnabled(total > 0)

    def _pick(self, value: int) -> None:
        """Brush with a structure, by its painted value; background erases."""
        correction = self._correction
        if correction is None:
            return
        layer = correction.layer
        self._viewer.layers.selection.active = layer
        if value == BACKGROUND:
            layer.mode = "erase"
        else:
            layer.selected_label = value - BACKGROUND
            layer.mode = "paint"
        self.table.mark(value)

    def _learn(self) -> None:
        """Learn, and have the new result shown in place of the mended copy: it is what is corrected next."""
        self._follow_all()
        correction = self._correction
        if correction is not None:
            self._learn_widget().learn_from(correction.paint)
            correction.layer.opacity = 0.0
            for layer in [layer for layer in self._viewer.layers if is_preview(layer)]:
                self._show_learned(layer)

    def _show_learned(self, layer: Layer) -> None:
        correction = self._correction
        if correction is None or correction.layer.opacity or not isinstance(layer, LabelsLayer):
            return
        if _lies_on(layer, self.image_box.layer):
            layer.opacity = OPACITY
            self.result_box.choose(layer)
            self._tell("This is what the model finds now. Press Correct to go on with it.")

    def _learn_widget(self) -> Learns:
        found: Learns = open_widget(self._viewer, "Learn")
        return found

    def _after_insertion(self, event: Any) -> None:
        if is_preview(event.value):
            self._show_learned(event.value)

    def _after_removal(self, event: Any) -> None:
        correction = self._correction
        if correction is not None and any(
            same_layer(event.value, layer) for layer in (correction.layer, correction.paint)
        ):
            self._correction = None
            self._watch.watch(None)
            self._show()
            self._tell(f"{event.value.name} was removed: what was corrected is kept as paint.")

    def _tell(self, text: str) -> None:
        self.about.setText(text)
        self.about.show()

    def _say(self, text: str, *, error: bool = False) -> None:
        self.line.setStyleSheet(RED if error else PLAIN)
        self.line.setText(text)
        self.line.setVisible(bool(text))


def _may_be_corrected(layer: Layer) -> bool:
    return isinstance(layer, LabelsLayer) and not is_painted(layer) and not is_mended(layer)


def _lies_on(result: LabelsLayer, image: Layer | None) -> bool:
    """Whether labels have the shape of an image's slices; where they lie is looked at when one begins."""
    if not isinstance(image, Image) or is_preview(image) or result.multiscale or image.multiscale:
        return False
    try:
        return LayerSource.of(image).shape[1:] == LayerSource.of(result).shape[1:]
    except InputError:  # of too many axes
        return False


def maker_of(result: LabelsLayer) -> str | None:
    """Name or path of the model that made a result; None where that is not recorded, or the model is gone."""
    record = result.metadata.get(METADATA, {})
    if record.get("model") is not None:
        return str(record["model"])
    made_by = record.get("made_by")
    folders = [Path(result.source.path).absolute().parent] if result.source.path else []
    found = find_maker(made_by, folders) if made_by is not None else None
    if found is None:
        return None
    return found.stem if found.parent == BUNDLED else str(found)


def _structures(labels: Labels) -> tuple[Structure, ...]:
    """The structures of a result; those that it has no names for are numbered."""
    if labels.structures:
        return labels.structures
    highest = 1 if labels.are_objects else int(labels.array.max(initial=1))
    return tuple(Structure(label=label, name=f"structure {label}", colour="#cc79a7") for label in range(1, highest + 1))
