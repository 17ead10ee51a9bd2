"""Devices: where to compute, in which precision, and in how much memory."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import psutil
import torch

from napari_unetseg.errors import ResourceError, SettingsError

NAMES = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
OUT_OF_MEMORY = ("out of memory", "DefaultCPUAllocator", "can't allocate memory", "could not create a memory object")
"""What PyTorch and oneDNN say where they do not raise `torch.OutOfMemoryError`."""


PREFERRED_DEVICE, MEMORY_LIMIT = "UNETSEG_DEVICE", "UNETSEG_MEMORY"
"""Variables of the environment: what the device ``auto`` means, and the GB that this process may take of memory."""


class OutOfMemory(Exception):  # noqa: N818 - a signal to try with less, not a failure yet
    """A step needed more memory than there is."""


def choose_device(name: str) -> torch.device:
    """The device of that name; ``auto`` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    SettingsError
        If it is not a device's name.
    ResourceError
        If this machine has no such device.
    """
    if not NAMES.fullmatch(name):
        raise SettingsError(f"Expected a device of auto, cpu, cuda, cuda:1 or mps; got {name!r}.")
    if name == "auto":
        name = os.environ.get(PREFERRED_DEVICE, "auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if not _is_present(device):
        raise ResourceError(f"This machine has no device {name!r}. Use auto or cpu.")
    return device


def _is_present(device: torch.device) -> bool:
    if device.type == "cuda":
        return (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or torch.backends.mps.is_available()


def fast_dtype(device: torch.device) -> torch.dtype:
    """The fastest precision: half where the device computes in it, else float32. Whether right: see `precision`."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device)[0] >= 8 else torch.float16
    if device.type == "cpu" and _cpu_computes_in_bfloat16():
        return torch.bfloat16
    return torch.float32


def _cpu_computes_in_bfloat16() -> bool:
    """Whether the CPU has instructions for it, and oneDNN may use them: else bfloat16 is slower than float32."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    has_instructions = any(getattr(torch.cpu, name, bool)() for name in names)
    return has_instructions and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@lru_cache
def processor(device: torch.device) -> str:
    """What computes there, with all that decides which kernels run: name, instructions, and limits set on them."""
    if device.type == "cuda":
        capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
        return f"{torch.cuda.get_device_name(device)}, capability {capability}, cuDNN {torch.backends.cudnn.version()}"  # type: ignore[no-untyped-call]
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    name = str(known.get("cpu_name") or platform.processor() or platform.machine())
    extensions = [f for f in ("avx512_bf16", "avx512_fp16", "amx_bf16", "amx_fp16", "avx10_2") if known.get(f) is True]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    parts = (name, torch.backends.cpu.get_cpu_capability(), *extensions, f"limited to {limit}" if limit else "")
    return ", ".join(filter(None, parts)) if device.type == "cpu" else f"{device.type}, {name}"


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken on the device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    available = int(psutil.virtual_memory().available)
    limit = os.environ.get(MEMORY_LIMIT)
    return max(0, min(available, int(float(limit) * 1e9) - psutil.Process().memory_info().rss)) if limit else available


def device_name(device: torch.device) -> str:
    """What to call the device in a result: ``cpu``, or the GPU's name as well."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


@contextmanager
def memory_guard(device: torch.device) -> Iterator[None]:
    """Turn every way in which memory runs out into `OutOfMemory`, and give back what the device holds."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not _is_out_of_memory(error):
            raise
        if device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(str(error)) from error


def _is_out_of_memory(error: Exception) -> bool:
    named = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return named or any(words in str(error) for words in OUT_OF_MEMORY)


@contextmanager
def one_thread() -> Iterator[None]:
    """For matrices so small that a second thread would only wait, for long on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
