"""What MindSpore must find in the environment before it is imported, and the settings that a run starts with."""

import os
import sys
import warnings
from contextlib import suppress
from types import ModuleType

from mdiff.device.choice import Device
from mdiff.device.collection import paused_collection
from mdiff.errors import MdiffError

# With AVX-512 allowed, MindSpore 2.8 and later pick oneDNN's reference convolution, a hundred times slower.
_ENVIRONMENT = {"ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3"}
# What MindSpore registers of kernels of Ascend's own processors, a tenth of the time of its import.
_FOR_ASCEND = "mindspore.ops._op_impl.aicpu"
_active: list[Device] = []


def prepare_environment() -> None:
    """Set what MindSpore reads once, at its import; what the user has set stays. Calling it again changes nothing."""
    if "mindspore" in sys.modules and "ONEDNN_MAX_CPU_ISA" not in os.environ:
        warnings.warn(
            "MindSpore was imported before mdiff: its convolutions may be very slow on a CPU with AVX-512; "
            "set ONEDNN_MAX_CPU_ISA=AVX2 in the environment or import mdiff first",
            stacklevel=2,
        )
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def activate(device: Device) -> None:
    """Make `device` the one of this process, deterministic; the first call decides, another device is an MdiffError."""
    if _active:
        if (_active[0].kind, _active[0].id) != (device.kind, device.id):
            raise MdiffError(
                f"this process runs on {_active[0].kind} {_active[0].id} already; "
                f"{device.kind} {device.id} needs a process of its own"
            )
        return
    prepare_environment()
    ms = _import_mindspore(device)
    target = "Ascend" if device.kind == "ascend" else "CPU"
    try:
        ms.set_device(target, device.id)
    except (RuntimeError, ValueError) as error:
        # It also refuses once anything has run, which does no harm where it ran on this device
        if (ms.get_context("device_target"), ms.get_context("device_id")) != (target, device.id):
            raise MdiffError(f"MindSpore cannot use {device.kind} {device.id}: {_first_line(error)}") from error
    if device.kind == "ascend":
        _settle_ascend(ms)
    _active.append(device)


def _import_mindspore(device: Device) -> ModuleType:
    """Import MindSpore, on a CPU without the registrations that it never uses there."""
    spared = device.kind == "cpu" and "mindspore" not in sys.modules
    if spared:
        sys.modules[_FOR_ASCEND] = ModuleType(_FOR_ASCEND)
    try:
        with paused_collection():
            import mindspore
    finally:
        if spared:  # who asks for it by name gets the real one
            del sys.modules[_FOR_ASCEND]
    return mindspore


def is_active_on_cpu() -> bool:
    """Whether this process has activated the CPU, which leaves nothing behind that has to be given back."""
    return bool(_active) and _active[0].kind == "cpu"


def _settle_ascend(ms: ModuleType) -> None:
    """Deterministic, and float32 that means float32: convolutions would drop to HF32 (10 bits).

    MindSpore takes each of these once a process; where the caller's own code was first, its choice stands.
    """
    precision = ms.device_context.ascend.op_precision
    for settle, value in (
        (ms.set_deterministic, True),
        (precision.conv_allow_hf32, False),
        (precision.matmul_allow_hf32, False),
    ):
        with suppress(RuntimeError):
            settle(value)


def _first_line(error: Exception) -> str:
    """The sentence of a MindSpore error, without its C++ call stack."""
    return str(error).strip().split("\n", 1)[0].strip()
