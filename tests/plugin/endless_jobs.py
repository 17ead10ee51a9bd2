"""A job without an engine for the tests of cancelling and closing: importable in the child by this module's name."""

import time

from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.service.verbs import register


def endless() -> Job[None]:
    for step in range(10**6):
        yield Progress(step % 100, 100, "Predicting", seconds_left=100.0)
        time.sleep(0.02)


def endless_on_a_layer(worker, request):
    """Stands in for `segment_job.segment_layer`."""
    return (yield from worker.run(endless))


register("test.endless", "endless_jobs:endless")
