"""Messages: values come back as they were, and what is no message is one clear error, with nothing executed."""

from __future__ import annotations

import json
import math
import random
import socket
import threading
from dataclasses import dataclass
from typing import Any

import child_jobs
import numpy as np
import numpy.typing as npt
import pytest

from napari_unetseg.core.grid import Grid, ScannerFrame
from napari_unetseg.core.metrics.evaluation import evaluate
from napari_unetseg.core.postprocess.context import CleanupContext
from napari_unetseg.core.postprocess.prior import KnownSlices
from napari_unetseg.core.settings import SegmentSettings
from napari_unetseg.core.steps import KeepLargest, RemoveSmall
from napari_unetseg.core.volume import Labels, Structure, Volume
from napari_unetseg.errors import InputError, ResourceError
from napari_unetseg.service import metric_jobs, verbs, wire
from napari_unetseg.service.messages import ErrorMessage, MessageError, decode, encode, request_model, schema_of
from napari_unetseg.service.process import ChildError, Worker, failure
from napari_unetseg.service.worker_process import answer


def there_and_back(value: Any, kind: Any) -> Any:
    body, parts = encode(value)
    return decode(schema_of(kind), memoryview(body), parts)


@pytest.mark.parametrize("name", sorted(set(verbs._targets) - set(verbs.added())))
def test_every_verb_has_schemas_for_what_it_takes_and_gives(name):
    verb = verbs.verb(name)
    assert verbs.verb_of(verb.function).name == name
    assert set(request_model(verb.function, name).model_fields) == set(verb.function.__annotations__) - {"return"}
    assert verb.record.core_schema
    assert verb.result.core_schema


def test_records_of_every_depth_come_back_as_they_were():
    affine = ((0.0, 0.0, -0.5, 1.0), (0.0, -0.5, 0.0, 2.0), (2.0, 0.0, 0.0, 3.0), (0.0, 0.0, 0.0, 1.0))
    frame = ScannerFrame(affine, ("L", "P", "S"))
    grid = Grid((2.0, 0.5, 0.5), "mm", scanner=frame)
    settings = SegmentSettings(cleanup=(KeepLargest(parts=2), RemoveSmall(volume=3.0, unit="mm")))
    known = KnownSlices(np.ones((1, 3, 4), np.int8), (1,), 0, (2, 3, 4), grid)
    evidence = CleanupContext(image=Volume(np.ones((1, 2, 3, 4), np.float32), grid), known=known, spread=(0.5,))
    back = there_and_back(evidence, CleanupContext)
    assert there_and_back(settings, SegmentSettings) == settings
    assert (back.image.grid, back.known.places, back.spread, back.prior) == (grid, (1,), (0.5,), None)
    assert np.array_equal(back.known.planes, known.planes)


def test_of_two_kinds_the_one_that_was_sent_comes_back():
    labels = Labels(np.ones((1, 2, 2), np.uint8), structures=(Structure(label=1, name="a", colour="#ffffff"),))
    volume = Volume(np.ones((1, 1, 2, 2), np.uint8))
    assert isinstance(there_and_back(labels, Volume | Labels), Labels)
    assert isinstance(there_and_back(volume, Volume | Labels), Volume)


def test_what_is_neither_record_array_nor_plain_is_not_sent():
    for value in (object(), len, {1, 2}, np.array([None]), np.array(["a"])):
        with pytest.raises(TypeError, match="cannot be sent"):
            encode({"value": value})


def test_figures_that_are_not_finite_come_back():
    ones, none = Labels(np.ones((1, 4, 4), np.uint8)), Labels(np.zeros((1, 4, 4), np.uint8))
    evaluation = evaluate(ones, none)
    back = there_and_back(metric_jobs.MetricsReport([{"dice": math.nan}], 2, evaluation), metric_jobs.MetricsReport)
    assert back.evaluation.structures[0].hausdorff == evaluation.structures[0].hausdorff == math.inf
    assert math.isnan(back.rows[0]["dice"])


@pytest.mark.parametrize("dtype", ["?", "u1", "<i4", ">u2", "<f2", "<f8"])
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (2, 1, 3)])
def test_arrays_of_every_kind_and_order_come_back(dtype, shape):
    for order in "CF":
        array = np.ones(shape, dtype, order=order)
        back = there_and_back(array, npt.NDArray[Any])
        assert (back.dtype, back.shape) == (array.dtype, shape)
        assert np.array_equal(back, array)


def test_a_failure_is_of_its_own_class_on_the_other_side():
    assert type(failure(ErrorMessage(kind="InputError", text="x"))) is InputError
    assert type(failure(ErrorMessage(kind="ResourceError", text="x"))) is ResourceError
    for kind in ("SystemExit", "KeyboardInterrupt", "fault", "message", "__import__"):
        assert type(failure(ErrorMessage(kind=kind, text="x"))) is ChildError


@dataclass(frozen=True)
class Pair:
    first: npt.NDArray[Any]
    second: int


GOOD = {"@type": "Pair", "first": {"part": 0, "dtype": "|u1", "shape": [2, 3], "order": "C"}, "second": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"@type": "Volume"},
        {"second": "seven"},
        {"third": 1},
        {"first": [[1]]},
        *({"first": {**GOOD["first"], **wrong}} for wrong in (
            {"part": 1}, {"part": -1}, {"dtype": "O"}, {"dtype": "V6"}, {"dtype": "U1"}, {"dtype": "os.system"},
            {"dtype": "(2,)u1"}, {"shape": [2, 4]}, {"shape": [-2, -3]}, {"shape": [2**62, 2**62]}, {"order": "A"},
        )),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_schema_is_refused(change):
    body, parts = json.dumps({**GOOD, **change}).encode(), [memoryview(bytearray(6))]
    assert decode(schema_of(Pair), memoryview(json.dumps(GOOD).encode()), parts).first.shape == (2, 3)
    with pytest.raises(MessageError):
        decode(schema_of(Pair), memoryview(body), parts)


@pytest.mark.parametrize("shape", [[6], [1, 2, 3], [0, 1, 2, 3]])
def test_values_that_a_record_refuses_are_refused(shape):
    good = encode(Volume(np.zeros((1, 1, 2, 3), np.uint8)))
    record = json.loads(good[0])
    record["array"]["shape"] = shape
    parts = [part[: int(np.prod(shape))] for part in good[1]]
    with pytest.raises(MessageError, match="Expected an image of shape"):
        decode(schema_of(Volume), memoryview(json.dumps(record).encode()), parts)


def told(kind: str, verb: str, body: bytes, arrays: list[bytes] = []) -> tuple[str, str]:  # noqa: B006
    """What the worker process answers to a frame: kind, and text of the error."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, kind, body, [memoryview(array) for array in arrays], verb)
        answer(theirs, wire.receive(theirs))
        frame = wire.receive(ours)
        theirs.shutdown(socket.SHUT_WR)
        with pytest.raises(EOFError):
            wire.receive(ours)  # one answer, and no more
    return frame.kind, json.loads(bytes(frame.body))["text"] if frame.kind == "error" else ""


def test_a_call_that_is_none_is_one_error_and_nothing_runs(tmp_path):
    mark = tmp_path / "mark"
    good = json.dumps({"path": str(mark), "number": 1}).encode()
    for kind, verb, body in [
        ("call", "no.such", good),
        ("call", "os:system", good),
        ("call", "child_jobs:leaves_a_mark", good),
        ("record", "test.leaves_a_mark", good),
        ("result", "test.leaves_a_mark", good),
        ("call", "test.leaves_a_mark", b""),
        ("call", "test.leaves_a_mark", b"\x80\x04N."),
        ("call", "test.leaves_a_mark", good[:-1]),
        ("call", "test.leaves_a_mark", json.dumps({"path": str(mark)}).encode()),
        ("call", "test.leaves_a_mark", json.dumps({"path": str(mark), "number": "many"}).encode()),
        ("call", "test.leaves_a_mark", json.dumps({"path": str(mark), "number": 1, "more": 2}).encode()),
    ]:
        answered, text = told(kind, verb, body)
        assert answered == "error"
        assert text.startswith("What was asked for is no message: ")
        assert "\n" not in text
        assert not mark.exists()
    assert told("call", "test.leaves_a_mark", good)[0] == "result"
    assert mark.exists()


def test_bodies_that_were_damaged_on_the_way_run_nothing_but_what_they_say(tmp_path):
    """Random bytes are changed: an error comes, or the call that is still one is answered."""
    generator, good = random.Random(0), encode({"array": np.zeros((2, 3), np.uint8)})
    for _ in range(300):
        body = bytearray(good[0])
        for _ in range(generator.randint(1, 4)):
            body[generator.randrange(len(body))] = generator.randrange(256)
        kind, text = told("call", "test.nothing", bytes(body), [bytes(6)])
        assert kind == "result" or text


def frames(count: int) -> list[bytes]:
    """What is no frame: random bytes, and good frames with damaged heads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire.send(ours, "result", b"5")
        good = theirs.recv(1 << 16)
    generator, found = random.Random(1), [b"\x80\x04N." * 10, b"GET / HTTP/1.1\r\n\r\n", good[:8] + b"\xff" * 40]
    for _ in range(count):
        body = bytearray(good)
        body[generator.randrange(len(body) - 1)] ^= 1 << generator.randrange(8)
        found.append(bytes(body))
    return found


def test_frames_that_are_none_are_one_error(tmp_path):
    for sent in frames(100):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(sent)
            ours.shutdown(socket.SHUT_WR)
            try:
                frame = wire.receive(theirs)
            except (MessageError, EOFError):
                continue
            assert frame.kind in ("call", "record", "result", "error")


@pytest.mark.parametrize(
    "sent",
    [b"\x80\x04N." * 10, ("call", b"{}"), ("record", b"{}"), ("result", b'"seven"'), ("error", b"{}"), ("result", b"")],
)
def test_a_worker_process_that_sends_no_message_is_ended_with_one_error(sent):
    """The parent's side: a process that has shown the token, and then talks nonsense."""
    worker = Worker()
    job = worker.run(child_jobs.same_number, 5)
    child, (ours, theirs) = worker._child, socket.socketpair()
    child._connection = ours

    def talk() -> None:
        wire.receive(theirs)
        if isinstance(sent, bytes):
            theirs.sendall(sent)
        else:
            wire.send(theirs, sent[0], sent[1])

    threading.Thread(target=talk, daemon=True).start()
    with pytest.raises(ChildError, match="sent what is no message"):
        next(job)
    child.process.wait(10)
    with theirs:
        assert theirs.recv(1) == b""
    worker.stop()


def test_a_result_of_another_kind_than_promised_is_a_fault():
    worker = Worker()
    with pytest.raises(ChildError, match="sent what is no message"):
        for _ in worker.run(child_jobs.wrong_result):
            pass
    worker.stop()


def test_a_function_without_a_name_is_not_sent():
    with pytest.raises(MessageError, match="is not a verb"):
        Worker().run(json.loads, "5")
