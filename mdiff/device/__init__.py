"""The only place that knows hardware: which device, which number formats, which formulation of each operation.

Importing this package does not import MindSpore; `activate` and `kernels` do.
"""

from mdiff.device.choice import Device, choose
from mdiff.device.environment import activate, is_active_on_cpu, prepare_environment
from mdiff.device.kernel import Kernels, kernels
from mdiff.device.precision import Precision, resolve_precision
from mdiff.device.runtime import (
    empty_cache,
    has_room_to_double,
    is_out_of_memory,
    machine,
    memory_peak,
    reset_memory_peak,
    synchronize,
)

__all__ = [
    "Device",
    "Kernels",
    "Precision",
    "activate",
    "choose",
    "empty_cache",
    "has_room_to_double",
    "is_active_on_cpu",
    "is_out_of_memory",
    "kernels",
    "machine",
    "memory_peak",
    "prepare_environment",
    "reset_memory_peak",
    "resolve_precision",
    "synchronize",
]
