"""How fast prediction is, beside MONAI's sliding window and plain PyTorch, on the same weights and volume.

    python benchmarks/predict.py                          # the bundled models that have a sample, on the CPU
    python benchmarks/predict.py --device cuda
    python benchmarks/predict.py --model my.safetensors --image my.tif
    python benchmarks/predict.py --sweep --repeats 3      # sizes from 32³ to 256³, beside plain PyTorch

Every contender runs in a process of its own, so that its peak memory is its own: the highest resident memory during
the run less what was resident before it (on CUDA, the most that was allocated there). MONAI runs
`sliding_window_inference` with the training patch as window, overlap 0.5 and Gaussian weights, and its other defaults;
plain PyTorch is one forward pass over the whole volume in float32. All of them end in labels. On a machine that others
use as well, `--clock cores` with `OMP_NUM_THREADS=1` counts what a contender had of the processor. Prints Markdown.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

if TYPE_CHECKING:
    import torch

    from napari_unetseg.core.volume import Volume
    from napari_unetseg.engine.networks.model_file import Model

SAMPLES = Path(__file__).parents[1] / "sample_data"
CASES = {
    "nuclei-3d": SAMPLES / "plant-nuclei.ome.tif",
    "em-membrane-3d": SAMPLES / "fly-brain.ome.tif",
    "nuclei-2d": SAMPLES / "fluorescent-nuclei.ome.tif",
}
SIZES = {3: (64, 256, 256), 2: (1, 1024, 1024)}
CONTENDERS = ("napari-unetseg", "MONAI", "PyTorch")
SWEEP = ("nuclei-3d", "em-membrane-3d")
SWEEP_SIZES = (
    *((32, 32, 32), (64, 64, 64), (64, 88, 88), (64, 96, 96), (100, 100, 100), (128, 128, 128)),
    *((100, 200, 200), (64, 256, 256), (256, 256, 256)),
)
PLAIN_BYTES = 600
"""What plain PyTorch takes for a voxel, with the widths of the swept models."""
ENOUGH = 2.0
"""Seconds after which no run is repeated."""
CLOCKS = {"wall": time.perf_counter, "cores": time.process_time}
Predict = Callable[["Model", "Volume", "torch.device"], np.ndarray]


def main() -> None:
    """Print the machine's facts and one table a model; as a child process, measure one contender."""
    arguments = _arguments()
    if arguments.contender == "peak":
        print(json.dumps(_matrix_peak(arguments.device)))
    elif arguments.contender:
        print(json.dumps(_measure(arguments)))
    elif arguments.sweep:
        _report_sweep(arguments)
    else:
        _report(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 or mps")
    parser.add_argument("--model", help="a bundled model or a model file; with --image")
    parser.add_argument("--image", help="an image of that kind; it is mirrored until it has the benchmark's size")
    parser.add_argument(
        "--repeats", type=int, default=1, help="runs of each; the fastest counts, in a sweep the median"
    )
    parser.add_argument("--sweep", action="store_true", help="many sizes, beside plain PyTorch alone")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="seconds on the wall, or those of all cores")
    parser.add_argument("--size", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--labels", help=argparse.SUPPRESS)
    return parser.parse_args()


def _report(arguments: argparse.Namespace) -> None:
    peak = _child("--contender", "peak", "--device", arguments.device)
    for fact in _machine_facts(peak):
        print(f"- {fact}")
    cases = {arguments.model: arguments.image} if arguments.model else CASES
    for model, image in cases.items():
        print("\n".join(_table(model, image, arguments, peak)), flush=True)


def _machine_facts(peak: dict[str, Any]) -> list[str]:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "monai", "numpy"))
    return [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {peak['device']}, {os.cpu_count()} CPU cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()}, Python {platform.python_version()}",
        libraries,
        f"largest rate of a matrix product: float32 {peak['float32']:.0f} GFLOP/s, half {peak['half']:.0f} GFLOP/s",
    ]


def _table(model: str, image: Path, arguments: argparse.Namespace, peak: dict[str, Any]) -> list[str]:
    """One row a contender, with ratios to this program's throughput and memory."""
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: _run(name, model, image, arguments, Path(folder) / f"{name}.npy") for name in CONTENDERS}
        labels = {name: np.load(Path(folder) / f"{name}.npy") for name in CONTENDERS}
    ours = runs["napari-unetseg"]
    lines = [
        "",
        f"**{model}**, {' × '.join(map(str, labels['MONAI'].shape))} voxels",
        "",
        "| | seconds | Mvoxel/s | ours is faster by | peak memory | ours takes | labels as ours | of matrix peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, run in runs.items():
        agreement = np.mean(labels[name] == labels["napari-unetseg"])
        share = run["gflops"] / peak["half" if run["is_half"] else "float32"]
        lines.append(
            f"| {name} | {run['seconds']:.2f} | {run['megavoxels']:.2f} | {run['seconds'] / ours['seconds']:.1f}× | "
            f"{run['megabytes']:.0f} MB | {ours['megabytes'] / run['megabytes']:.2f}× | {agreement:.4f} | {share:.0%} |"
        )
    return lines


def _report_sweep(arguments: argparse.Namespace) -> None:
    """One table a model, one row a size."""
    for model in [arguments.model] if arguments.model else SWEEP:
        print(
            f"\n**{model}**\n\n"
            "| voxels | seconds | µs a voxel | tiles | peak memory | PyTorch | its peak memory "
            "| ours is faster by | ours takes |\n|---|---|---|---|---|---|---|---|---|"
        )
        for size in SWEEP_SIZES:
            print(_sweep_row(model, size, arguments), flush=True)


def _sweep_row(model: str, size: tuple[int, int, int], arguments: argparse.Namespace) -> str:
    def run(contender: str) -> dict[str, Any]:
        sized = ("--size", *map(str, size), "--clock", arguments.clock, "--repeats", str(arguments.repeats))
        named = ("--contender", contender, "--model", model, "--image", str(CASES[model]))
        return _child(*named, *sized, "--device", arguments.device)

    ours, voxels = run("napari-unetseg"), float(np.prod(size))
    row = (
        f"| {' × '.join(map(str, size))} | {ours['median']:.2f} | {1e6 * ours['median'] / voxels:.2f} | "
        f"{ours['tiles']} | {ours['megabytes']:.0f} MB |"
    )
    if PLAIN_BYTES * voxels > psutil.virtual_memory().available / 3:
        return f"{row} memory does not do | | | |"
    plain = run("PyTorch")
    return (
        f"{row} {plain['median']:.2f} | {plain['megabytes']:.0f} MB | {plain['median'] / ours['median']:.1f}× | "
        f"{ours['megabytes'] / plain['megabytes']:.2f}× |"
    )


def _run(name: str, model: str, image: Path, arguments: argparse.Namespace, labels: Path) -> dict[str, Any]:
    return _child(
        "--contender", name, "--model", model, "--image", str(image), "--labels", str(labels),
        "--device", arguments.device, "--repeats", str(arguments.repeats),
    )  # fmt: skip


def _child(*arguments: str) -> dict[str, Any]:
    """Run this file in a new process; its last line is JSON."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time one contender, after a warm-up on a corner of the volume."""
    from napari_unetseg.engine.devices import choose_device, fast_dtype
    from napari_unetseg.engine.networks.model_file import load_model
    from napari_unetseg.engine.networks.registry import architecture_of

    device, model = choose_device(arguments.device), load_model(arguments.model)
    volume = _volume(arguments.image, arguments.size or SIZES[model.card.dimensions])
    predict, clock = PREDICT[arguments.contender], CLOCKS[arguments.clock]
    predict(model, _corner(volume), device)
    before, seen, seconds = _resident(device), _count_seen_voxels(), []
    while len(seconds) < arguments.repeats and sum(seconds) < ENOUGH:
        began = clock()
        labels = predict(model, volume, device)
        seconds.append(clock() - began)
    peak = _peak(device) - before
    if arguments.labels:
        np.save(arguments.labels, labels)
    return {
        "seconds": min(seconds),
        "median": statistics.median(seconds),
        "megavoxels": labels.size / min(seconds) / 1e6,
        "megabytes": peak / 1e6,
        "gflops": sum(seen) / len(seconds) * architecture_of(model.card).flops_per_voxel / min(seconds) / 1e9,
        "is_half": arguments.contender == "napari-unetseg" and fast_dtype(device).itemsize == 2,
        "tiles": _tiles(model, volume, arguments.device) if arguments.contender == "napari-unetseg" else 1,
    }


def _tiles(model: Model, volume: Volume, device: str) -> int:
    from napari_unetseg.core.settings import SegmentSettings
    from napari_unetseg.engine.inference.cost import estimate_cost

    return estimate_cost(model.card, volume, SegmentSettings(device=device)).tiles


def _predict_ours(model: Model, volume: Volume, device: torch.device) -> np.ndarray:
    from napari_unetseg.core.progress import finish
    from napari_unetseg.core.settings import SegmentSettings
    from napari_unetseg.engine.inference.predict import iter_predict

    return finish(iter_predict(model, volume, SegmentSettings(device=str(device)))).classes


def _predict_monai(model: Model, volume: Volume, device: torch.device) -> np.ndarray:
    import torch
    from monai.inferers import sliding_window_inference

    window = model.card.patch[-model.card.dimensions :]
    with torch.inference_mode():
        scores = sliding_window_inference(
            _normalised(model, volume).to(device),
            window,
            sw_batch_size=1,
            predictor=model.network.to(device),
            overlap=0.5,
            mode="gaussian",
        )
    return _labels(model, scores)


def _predict_plain(model: Model, volume: Volume, device: torch.device) -> np.ndarray:
    import torch

    with torch.inference_mode():
        return _labels(model, model.network.to(device)(_normalised(model, volume).to(device)))


PREDICT: dict[str, Predict] = {
    "napari-unetseg": _predict_ours,
    "MONAI": _predict_monai,
    "PyTorch": _predict_plain,
}


def _normalised(model: Model, volume: Volume) -> torch.Tensor:
    """The whole volume as the network takes it, (1, C, [Z,] Y, X)."""
    import torch

    from napari_unetseg.core.models.normalisation import normaliser

    image = torch.from_numpy(normaliser(volume, model.card.normalisation)(volume.array))[None]
    return image if model.card.dimensions == 3 else image[:, :, 0]


def _labels(model: Model, scores: torch.Tensor) -> np.ndarray:
    """Structures from scores (1, K, [Z,] Y, X), as this program makes them."""
    from napari_unetseg.core.voxels import ArraySink, whole
    from napari_unetseg.engine.inference.aggregate import LabelAggregator, Sinks

    probabilities = scores[0].softmax(dim=0)
    if model.card.dimensions == 2:
        probabilities = probabilities[:, None]
    z, y, x = probabilities.shape[1:]
    classes = np.zeros((z, y, x), np.uint8)
    LabelAggregator(model.card.structures, Sinks(ArraySink(classes))).write(whole((z, y, x)), probabilities)
    return classes


def _volume(path: str, size: tuple[int, int, int]) -> Volume:
    """The image, mirrored until it has that size, on a grid that asks for no resampling."""
    from napari_unetseg.core.geometry.tiles import mirrored
    from napari_unetseg.core.io.loadsave import load_volume
    from napari_unetseg.core.volume import Volume

    array = load_volume(path).array
    for axis, length in enumerate(size, start=1):
        array = array.take(mirrored(0, length, array.shape[axis]), axis=axis)
    return Volume(array)


def _corner(volume: Volume) -> Volume:
    from napari_unetseg.core.volume import Volume

    return Volume(volume.array[:, :32, :64, :64])


def _count_seen_voxels() -> list[int]:
    """A list that grows by what the network sees, at each of its passes."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    from napari_unetseg.engine.networks.fused import FusedUNet
    from napari_unetseg.engine.networks.unets.unet import UNet

    seen: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, (UNet, FusedUNet)):
            seen.append(inputs[0][:, 0].numel())

    register_module_forward_pre_hook(count)
    return seen


def _resident(device: torch.device) -> int:
    """Bytes in use now, what the warm-up left unused given back."""
    import torch

    if device.type != "cuda":
        gc.collect()
        if sys.platform == "linux":
            ctypes.CDLL(None).malloc_trim(0)
        return int(psutil.Process().memory_info().rss)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _peak(device: torch.device) -> int:
    """The most bytes that were in use."""
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _matrix_peak(name: str) -> dict[str, Any]:
    """The largest rate of a square matrix product, GFLOP/s, in float32 and in the precision of prediction."""
    import torch

    from napari_unetseg.engine.devices import choose_device, fast_dtype

    device = choose_device(name)
    side = 2048 if device.type == "cpu" else 8192
    rates = {}
    for kind, dtype in {"float32": torch.float32, "half": fast_dtype(device)}.items():
        matrix = torch.randn(side, side, device=device).to(dtype)
        seconds = []
        for _ in range(20):
            began = time.perf_counter()
            (matrix @ matrix)[0, 0].item()  # .item() waits for the device
            seconds.append(time.perf_counter() - began)
        rates[kind] = 2 * side**3 / min(seconds) / 1e9
    return {**rates, "device": _processor() if device.type == "cpu" else torch.cuda.get_device_name(device)}


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = [line for line in facts.read_text().splitlines() if line.startswith("model name")] if facts.exists() else []
    return names[0].split(":")[1].strip() if names else platform.processor()


if __name__ == "__main__":
    main()
