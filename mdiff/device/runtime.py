"""Time, memory and failures of the active device."""

import re

from mdiff.device.choice import Device

_OUT_OF_MEMORY = re.compile(
    r"Memory not enough|memory isn't enough and alloc failed|out of memory|"
    r"Allocate .*memory failed|Malloc device memory failed|std::bad_alloc",
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
