"""Sources and sinks in memory; blocks partition what they read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.volume import Labels, Volume
from napari_unetseg.core.voxels import ArraySink, blocks, partition, whole
from napari_unetseg.errors import SettingsError

BOX = ((1, 3), (0, 2), (4, 5))
sizes = st.tuples(*[st.integers(1, 20)] * 3)


@settings(deadline=None, max_examples=50)
@given(sizes, sizes, st.integers(1, 3000))
def test_blocks_partition_and_are_of_whole_chunks(shape, chunk, most):
    seen = np.zeros(shape, int)
    for box in partition(shape, chunk, most):
        seen[tuple(slice(*span) for span in box)] += 1
        assert all(start % n == 0 for (start, _), n in zip(box, chunk, strict=True))
        lengths = [stop - start for start, stop in box]
        assert np.prod(lengths) <= max(most, np.prod(np.minimum(chunk, shape)))
    assert (seen == 1).all()


def test_a_small_source_is_one_block():
    labels = Labels(np.zeros((3, 4, 5), np.uint8))
    assert list(blocks(labels)) == [whole((3, 4, 5))] == [((0, 3), (0, 4), (0, 5))]
    assert len(list(blocks(labels, most=20))) == 3


def test_an_array_is_read_in_boxes_and_written_in_boxes():
    array = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    volume, labels = Volume(array), Labels(array[0])
    np.testing.assert_array_equal(volume.read(BOX), array[:, 1:3, 0:2, 4:5])
    np.testing.assert_array_equal(labels.read(BOX), array[0, 1:3, 0:2, 4:5])
    assert np.shares_memory(volume.read(BOX), array)
    copy = np.zeros_like(array)
    for box in reversed(list(partition((3, 4, 5), (2, 2, 2), 8))):
        ArraySink(copy).write(box, volume.read(box))
    np.testing.assert_array_equal(copy, array)


def series(time):
    return Volume(np.full((1, 2, 3, 4), time, np.uint8)).among(time, 3, series)


def test_a_time_point_knows_the_others():
    first = series(0)
    assert (first.time, first.times) == (0, 3)
    last = first.at(2)
    assert (last.time, last.times) == (2, 3)
    assert (last.array == 2).all()
    assert last.at(2) is last
    assert (last.at(0).array == 0).all()
    for time in (-1, 3):
        with pytest.raises(SettingsError, match="time point of 0 to 2"):
            first.at(time)


def test_a_volume_of_its_own_has_one_time_point():
    volume = Volume(np.zeros((1, 1, 2, 2)))
    assert (volume.times, volume.at(0)) == (1, volume)
    with pytest.raises(SettingsError):
        volume.at(1)


def test_a_changed_copy_does_not_speak_for_the_other_time_points():
    from dataclasses import replace

    part = replace(series(1), grid=Grid((2.0, 1.0, 1.0)))
    assert part.times == 1
