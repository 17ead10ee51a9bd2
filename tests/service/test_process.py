"""A job in a child process: values come through, errors arrive, and nothing is left running."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import CancelledError
from pathlib import Path

import child_jobs
import numpy as np
import pytest
import zarr

from napari_unetseg.core.grid import Grid
from napari_unetseg.core.progress import Progress, finish
from napari_unetseg.core.settings import Selection
from napari_unetseg.core.volume import Volume
from napari_unetseg.errors import InputError, ResourceError
from napari_unetseg.service import jobs
from napari_unetseg.service.process import ChildError, Worker
from support import gone_within, is_running


@pytest.fixture(scope="module")
def shared_worker():
    worker = Worker()
    yield worker
    worker.stop()


@pytest.fixture
def worker():
    worker = Worker()
    yield worker
    worker.stop()


def test_records_and_result_come_through(shared_worker):
    records = []
    result = finish(shared_worker.run(child_jobs.double, np.arange(5)), records.append)
    assert records == [Progress(0, 2, "Doubling"), Progress(1, 2, "Doubling", seconds_left=0.5)]
    assert result.tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("size", [0, 1, 8 * 1024**2, 20_000_001])
def test_arrays_of_any_size_come_through_whole(shared_worker, size):
    array = np.arange(size, dtype=np.uint32).astype(np.uint8)
    assert np.array_equal(finish(shared_worker.run(child_jobs.nothing, array)), array)


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_layout_does_not_change_values(shared_worker, order):
    array = np.arange(24.0).reshape(2, 3, 4)
    array = array[::-1, :, ::2] if order == "strided" else np.array(array, order=order)
    assert np.array_equal(finish(shared_worker.run(child_jobs.nothing, array)), array)


def test_a_volume_comes_through_with_its_grid(shared_worker):
    volume = Volume(np.ones((1, 2, 3, 4), np.uint16), Grid((2.0, 0.5, 0.5), "µm"), ("dapi",), "cells")
    back = finish(shared_worker.run(child_jobs.same_volume, volume))
    assert (back.grid, back.channels, back.name) == (volume.grid, volume.channels, volume.name)
    assert np.array_equal(back.array, volume.array)


def test_the_caller_s_array_is_never_changed_and_results_are_writable(shared_worker):
    array = np.zeros((4, 4))
    result = finish(shared_worker.run(child_jobs.edit_in_place, array))
    assert not array.any()
    result += 1
    assert (result == 8).all()


def test_the_child_is_kept_for_the_next_job(shared_worker):
    first, second = (finish(shared_worker.run(child_jobs.process_id)) for _ in range(2))
    assert first == second == shared_worker.pid != os.getpid()


def test_a_fresh_child_has_neither_torch_nor_qt_and_lets_others_go_first(worker):
    loaded = finish(worker.run(child_jobs.modules))
    assert not {"torch", "qtpy", "napari"} & set(loaded)
    if os.name != "nt":
        assert finish(worker.run(child_jobs.niceness)) == os.nice(0) + 5


def test_a_user_error_arrives_as_itself_and_the_child_lives_on(shared_worker):
    with pytest.raises(InputError, match=r"^Expected an image; got a poem\.$"):
        finish(shared_worker.run(child_jobs.user_error))
    assert finish(shared_worker.run(child_jobs.process_id)) == shared_worker.pid


def test_a_fault_tells_its_traceback(shared_worker):
    with pytest.raises(ChildError) as caught:
        finish(shared_worker.run(child_jobs.fault))
    assert caught.value.summary == "RuntimeError: shapes differ"
    assert 'child_jobs.py", line' in str(caught.value)


def test_a_result_that_cannot_be_sent_is_a_fault(shared_worker):
    with pytest.raises(ChildError, match="A function cannot be sent"):
        finish(shared_worker.run(child_jobs.unsendable))


def test_out_of_memory_is_something_to_act_on(shared_worker):
    with pytest.raises(ResourceError, match="Not enough memory"):
        finish(shared_worker.run(child_jobs.out_of_memory))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_child_is_explained_and_replaced(worker):
    with pytest.raises(ResourceError, match=r"ended by the system \(SIGKILL\), probably for lack of memory"):
        finish(worker.run(child_jobs.killed))
    assert finish(worker.run(child_jobs.process_id)) == worker.pid


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (signal.SIGSEGV, ChildError, r"crashed \(SIGSEGV\) in a library, which is no lack of memory"),
        (signal.SIGBUS, ChildError, r"crashed \(SIGBUS\)"),
        (signal.SIGABRT, ResourceError, r"given up by a library \(SIGABRT\), probably for lack of memory"),
        (signal.SIGHUP, ResourceError, r"ended from outside \(SIGHUP\)"),
    ],
)
def test_signals_are_told_apart(worker, number, kind, words):
    with pytest.raises(kind, match=words):
        finish(worker.run(child_jobs.signalled, int(number)))


def test_a_warning_in_the_child_reaches_whoever_asked_for_the_job(shared_worker, tmp_path):
    zarr.save_array(str(tmp_path / "bare.zarr"), np.ones((2, 3, 4), np.uint8))
    with pytest.warns(UserWarning, match=r"bare\.zarr: The Zarr array does not name its axes"):
        volume = finish(shared_worker.run(jobs.load, tmp_path / "bare.zarr", Selection(), False))
    assert volume.shape == (2, 3, 4)


def test_a_child_that_leaves_by_itself_is_a_fault(worker):
    with pytest.raises(ChildError, match="exit code 3"):
        finish(worker.run(child_jobs.exits))


@pytest.mark.parametrize(("target", "args"), [(child_jobs.endless, ()), (child_jobs.silent, (60,))])
def test_stop_from_another_thread_cancels_within_two_seconds(worker, target, args):
    job = worker.run(target, *args)
    next(job)
    pid = worker.pid
    threading.Timer(0.1, worker.stop).start()
    with pytest.raises(CancelledError):
        finish(job)
    assert gone_within(pid, 2)
    assert worker.pid is None


def test_a_child_that_holds_its_interpreter_is_ended_all_the_same(worker):
    job = worker.run(child_jobs.greedy, "b")
    next(job)
    pid = worker.pid
    worker.stop()
    with pytest.raises(CancelledError):
        next(job)
    assert gone_within(pid, 2)


def test_stop_before_the_job_begins_cancels_it(worker):
    job = worker.run(child_jobs.endless)
    worker.stop()
    with pytest.raises(CancelledError):
        next(job)


def test_jobs_of_two_threads_take_turns(shared_worker):
    first = shared_worker.run(child_jobs.silent, 0.3)
    next(first)
    results = []
    second = threading.Thread(target=lambda: results.append(finish(shared_worker.run(child_jobs.same_number, 5))))
    second.start()
    assert finish(first) is None
    second.join(10)
    assert results == [5]


def test_closing_the_generator_ends_the_child(worker):
    job = worker.run(child_jobs.endless)
    next(job)
    pid = worker.pid
    job.close()
    assert gone_within(pid, 2)


def test_a_cancelled_job_leaves_no_half_written_file(worker, tmp_path):
    job = worker.run(child_jobs.writes_slowly, tmp_path / "labels.txt")
    next(job)
    assert len(list(tmp_path.iterdir())) == 1
    pid = worker.pid
    worker.stop()
    assert gone_within(pid, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_the_child_vanishes_when_its_parent_is_killed():
    script = """
    import child_jobs, time
    from napari_unetseg.service.process import Worker
    worker = Worker()
    job = worker.run(child_jobs.silent, 60)
    next(job)
    print(worker.pid, flush=True)
    time.sleep(60)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(child_jobs.__file__).parent), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as parent:
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
    assert gone_within(child, 2)


def test_a_script_without_a_main_guard_is_not_run_again(tmp_path):
    script = tmp_path / "analysis.py"
    script.write_text(
        "print('once')\nimport child_jobs\nfrom napari_unetseg.service.process import Worker\n"
        "from napari_unetseg.core.progress import finish\nprint(finish(Worker().run(child_jobs.same_number, 5)))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(child_jobs.__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, script], capture_output=True, env=environment, text=True, check=True)
    assert done.stdout.split() == ["once", "5"]
