"""Time, memory and failures of the active device."""

import os
import platform
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

from mdiff.device.choice import Device

_OUT_OF_MEMORY = re.compile(
    r"Memory not enough|memory isn't enough and alloc failed|out of memory|"
    r"Allocate .*memory failed|Malloc device memory failed|std::bad_alloc|"
    r"could not create a (primitive|memory)|can't start new thread",  # oneDNN's, and the C library's, on a CPU
    re.IGNORECASE,
)


def synchronize(device: Device) -> None:
    """Wait until the device has done what it was given, so that its errors and its time belong to the caller."""
    if device.kind == "ascend":  # the CPU computes in step, and MindSpore logs an error line when asked to wait for it
        import mindspore as ms

        ms.runtime.synchronize()


def memory_peak(device: Device) -> float | None:
    """Most device memory in use since `reset_memory_peak`, in MB (10⁶ bytes); None where the device is the host."""
    if device.kind == "cpu":
        return None
    import mindspore as ms

    return ms.runtime.max_memory_allocated() / 1e6


def reset_memory_peak(device: Device) -> None:
    """Begin a new measurement of `memory_peak`."""
    if device.kind == "ascend":
        import mindspore as ms

        ms.runtime.reset_peak_memory_stats()


def empty_cache(device: Device) -> None:
    """Give memory that no tensor uses back to the device."""
    if device.kind == "ascend":
        import mindspore as ms

        ms.runtime.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory, the device's or the host's, was not enough; a smaller batch may do."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


def machine(device: Device) -> str:
    """Name what decides how fast this device is: the processor, how many cores this process may use, MindSpore."""
    from importlib import metadata

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    name = device.name if device.kind != "cpu" else _processor()
    return f"{device.kind} {name}, {cores} cores, {threads} threads, MindSpore {metadata.version('mindspore')}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def has_room_to_double() -> bool:
    """Whether the host has as much memory to spare as this process has taken at most so far."""
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    room = []
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                room.append(int(line.split()[1]) * 1024)
    with suppress(OSError, ValueError):  # a container's own limit
        group = Path("/sys/fs/cgroup")
        room.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return not room or min(room) > taken
