"""Time, memory and failures of the device."""

import pytest

from mdiff.device import Device, empty_cache, is_out_of_memory, memory_peak, reset_memory_peak, synchronize

CPU, ASCEND = Device("cpu"), Device("ascend", 0, "Ascend910B2")


@pytest.mark.parametrize(
    "text",
    [
        "Memory not enough: alloc size 1073741824B",
        "The device memory isn't enough and alloc failed, kernel name: Default/MatMul-op1",
        "Out of Memory!!! Request memory size: 2147483648B, Memory Statistic",
        "Allocate continuous memory failed",
        "Malloc device memory failed, size[4294967296], ret[207001], Device 0",
    ],
)
def test_out_of_memory_is_recognised(text):
    assert is_out_of_memory(RuntimeError(f"{text}\n\n----\n- C++ Call Stack:"))


def test_host_memory_counts():
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize("error", [RuntimeError("Unsupported op [Conv2D]"), ValueError("Memory not enough")])
def test_other_errors_are_not(error):
    assert not is_out_of_memory(error)


def test_the_cpu_has_no_device_memory():
    assert memory_peak(CPU) is None
    for nothing in (synchronize, reset_memory_peak, empty_cache):
        assert nothing(CPU) is None


def test_ascend_asks_mindspore(monkeypatch):
    import mindspore as ms

    calls = []
    for name in ("synchronize", "reset_peak_memory_stats", "empty_cache"):
        monkeypatch.setattr(ms.runtime, name, lambda name=name: calls.append(name))
    monkeypatch.setattr(ms.runtime, "max_memory_allocated", lambda: 12_500_000)
    synchronize(ASCEND)
    reset_memory_peak(ASCEND)
    empty_cache(ASCEND)
    assert calls == ["synchronize", "reset_peak_memory_stats", "empty_cache"]
    assert memory_peak(ASCEND) == 12.5
