"""A verb that tells as what a child computes."""

from napari_unetseg.core.progress import Job, Progress
from napari_unetseg.service.verbs import register


def told() -> Job[tuple[str, int, int]]:
    """The device that ``auto`` means, the threads, and the memory that may be taken."""
    yield Progress(0, 1, "Looking")
    import torch

    from napari_unetseg.engine.devices import choose_device, free_memory

    device = choose_device("auto")
    return str(device), torch.get_num_threads(), free_memory(device)


register("test.told", "probe_preferences:told")
