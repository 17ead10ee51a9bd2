"""Devices are chosen by name, and every way in which memory runs out is understood."""

import pytest
import torch

from napari_unetseg.engine.devices import OutOfMemory, choose_device, fast_dtype, free_memory, memory_guard
from napari_unetseg.errors import ResourceError, SettingsError

CPU = torch.device("cpu")


def test_auto_takes_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU


def test_auto_takes_cuda_before_mps(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "CPU", "cpu; rm"])
def test_what_is_not_a_device_is_refused(name):
    with pytest.raises(SettingsError, match="Expected a device"):
        choose_device(name)


@pytest.mark.parametrize("name", ["cuda:7", "mps"])
def test_an_absent_device_is_a_line_for_the_user(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="has no device"):
        choose_device(name)


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_cpu_predicts_in_half_precision_only_where_it_computes_in_it(monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert fast_dtype(CPU) is dtype
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)  # oneDNN is kept from it
    assert fast_dtype(CPU) is torch.float32


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory"),
        MemoryError(),
    ],
)
def test_running_out_of_memory_is_recognised(error):
    with pytest.raises(OutOfMemory), memory_guard(CPU):
        raise error


def test_other_faults_pass_unchanged():
    with pytest.raises(RuntimeError, match="size mismatch"), memory_guard(CPU):
        raise RuntimeError("size mismatch")


def test_a_real_allocation_that_is_too_large_is_recognised():
    with pytest.raises(OutOfMemory), memory_guard(CPU):
        torch.empty(2**62, dtype=torch.uint8)


def test_there_is_free_memory():
    assert free_memory(CPU) > 2**20
