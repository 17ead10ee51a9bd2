from pathlib import Path

import numpy as np
import pytest

from napari_unetseg import api
from napari_unetseg.core.grid import Grid
from napari_unetseg.core.metrics.settings import MetricSettings
from napari_unetseg.core.progress import Progress
from napari_unetseg.core.settings import SegmentSettings, Selection
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.errors import InputError, ModelError, SettingsError


@pytest.fixture
def halves() -> np.ndarray:
    """Dark on the left, bright on the right."""
    image = np.zeros((6, 20, 30), np.uint8)
    image[..., 15:] = 255
    return image


def test_segment_takes_an_array_a_volume_and_a_path_alike(halves: np.ndarray, tiny_model: Path, tmp_path: Path) -> None:
    volume = Volume(halves[None], Grid((2, 1, 1), "mm"))
    api.save_volume(tmp_path / "image.nii.gz", volume)
    for image in (halves, halves[None], volume, tmp_path / "image.nii.gz", str(tmp_path / "image.nii.gz")):
        result = api.segment(image, model=tiny_model)
        assert np.array_equal(result.labels.array, halves > 127)
        assert (result.model, result.probabilities) == ("threshold", None)
        assert result.seconds > 0


def test_segment_takes_a_2d_array(halves: np.ndarray, tiny_model_2d: Path) -> None:
    assert np.array_equal(api.segment(halves[0], tiny_model_2d).labels.array[0], halves[0] > 127)


def test_labels_lie_on_the_grid_of_the_volume(halves: np.ndarray, tiny_model: Path) -> None:
    grid = Grid((3, 2, 1), "nm", origin=(7, 8, 9))
    assert api.segment(Volume(halves[None], grid), tiny_model).labels.grid == grid


def test_an_array_of_another_rank_is_refused(tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"got \(4,\)"):
        api.segment(np.zeros(4), tiny_model)
    with pytest.raises(InputError, match="Expected labels of shape"):
        api.evaluate(np.zeros((1, 1, 2, 2), int), np.zeros((2, 2), int))


def test_probabilities_come_beside_the_labels(halves: np.ndarray, tiny_model: Path) -> None:
    result = api.segment(halves, tiny_model, SegmentSettings(write="probabilities"))
    assert result.probabilities is not None
    assert result.probabilities.array.shape == (2, 6, 20, 30)
    np.testing.assert_allclose(result.probabilities.array[1], halves > 127, atol=2e-3)


def test_progress_is_told_and_never_goes_beyond_its_total(halves: np.ndarray, tiny_model: Path) -> None:
    told: list[Progress] = []
    api.segment(halves, tiny_model, on_progress=told.append)
    assert told
    assert all(0 <= progress.done <= progress.total for progress in told)
    assert told[-1].done == told[-1].total


def test_closing_the_generator_cancels(halves: np.ndarray, tiny_model: Path) -> None:
    job = api.iter_segment(halves, tiny_model)
    next(job)
    job.close()
    with pytest.raises(StopIteration):
        next(job)


def test_what_a_model_cannot_give_is_refused_before_the_work(halves: np.ndarray, tiny_model: Path) -> None:
    loaded = api.load_model(tiny_model)
    two = (loaded.card.structures[0], loaded.card.structures[0].model_copy(update={"label": 2}))
    model = type(loaded)(loaded.network, loaded.card.model_copy(update={"structures": two}))
    with pytest.raises(SettingsError, match="write classes instead"):
        next(api.iter_segment(halves, model, SegmentSettings(write="objects")))


def test_without_any_model_the_message_says_so(halves: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unetseg.api.segmenting.list_models", list)
    with pytest.raises(ModelError, match="there are: none"):
        api.segment(halves)


def test_segment_file_reads_and_writes(halves: np.ndarray, tiny_model: Path, tmp_path: Path) -> None:
    api.save_volume(tmp_path / "image.tif", Volume(halves[None]))
    crop = Selection(crop=((1, 3), (0, 20), (10, 20)))
    api.segment_file(tmp_path / "image.tif", tmp_path / "labels.tif", tiny_model, crop)
    assert np.array_equal(api.load_labels(tmp_path / "labels.tif").array, halves[1:3, :, 10:20] > 127)


def test_a_forecast_says_how_long_and_how_much(halves: np.ndarray, tiny_model: Path) -> None:
    forecast = api.forecast(halves, tiny_model)
    assert forecast.tiles >= 1
    assert forecast.seconds > 0
    assert forecast.peak_bytes > halves.nbytes


def test_evaluate_takes_labels_arrays_and_paths_alike(tmp_path: Path) -> None:
    reference = np.zeros((2, 4, 4), np.uint8)
    reference[:, :2] = 1
    predicted = np.zeros((2, 4, 4), np.uint8)
    predicted[:, :1] = 1
    api.save_labels(tmp_path / "reference.nii.gz", Labels(reference, Grid((1, 1, 1), "mm")))
    for one, other in [
        (predicted, reference),
        (Labels(predicted), Labels(reference)),
        (predicted, tmp_path / "reference.nii.gz"),
    ]:
        evaluation = api.evaluate(one, other)
        assert evaluation.structures[0].dice == pytest.approx(2 * 8 / (8 + 16))
        assert evaluation.mean_dice == evaluation.structures[0].dice


def test_evaluate_measures_in_the_spacing_that_is_given() -> None:
    labels = np.zeros((3, 4, 4), np.uint8)
    labels[1, 1, 1] = 1
    evaluation = api.evaluate(labels, labels, spacing=(2, 3, 4), settings=MetricSettings(surfaces=False))
    assert evaluation.structures[0].volume == pytest.approx(24)
    assert evaluation.unit == "µm"


def test_scripts_of_earlier_versions_find_their_names() -> None:
    assert api.look_at is api.cleanup_context
    assert api.Evidence is api.CleanupContext
    context = api.look_at(image=np.ones((2, 3, 4)))
    assert isinstance(context, api.Evidence)
    assert context.image is not None
