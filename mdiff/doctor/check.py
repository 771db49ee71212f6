"""Run the cases on a device and compare."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mdiff.device import Device, Kernels, synchronize
from mdiff.doctor.case import CASES, TOLERANCE, Case


@dataclass(frozen=True)
class Finding:
    """What became of one case: its error relative to the standard deviation, or the sentence that was raised."""

    case: str
    dtype: str
    error: float
    fault: str | None = None

    @property
    def right(self) -> bool:
        """Whether the device computed what it should have."""
        return self.fault is None and self.error <= TOLERANCE[self.dtype]  # NaN is not


def examine(device: Device, kernels: Kernels, cases: Iterable[Case] = CASES) -> list[Finding]:
    """Run every case as a compiled graph, in the number format of `kernels`."""
    return [_examine(device, kernels, case) for case in cases]


def _examine(device: Device, kernels: Kernels, case: Case) -> Finding:
    import mindspore as ms

    dtype = getattr(ms, kernels.dtype)
    try:
        tensors = [ms.Tensor(each).astype(dtype) for each in case.inputs()]
        rounded = [each.astype(ms.float32).asnumpy().astype(np.float64) for each in tensors]
        result = ms.jit(case.run(kernels))(*tensors)
        synchronize(device)
        given = result.astype(ms.float32).asnumpy().astype(np.float64)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:  # what MindSpore raises for a kernel
        lines = [line.strip() for line in str(error).splitlines() if line.strip(" -")]
        return Finding(case.name, kernels.dtype, float("nan"), lines[0] if lines else type(error).__name__)
    expected = case.expected(*rounded)
    if given.shape != expected.shape:
        return Finding(case.name, kernels.dtype, float("nan"), f"shape {given.shape} instead of {expected.shape}")
    return Finding(case.name, kernels.dtype, float(np.abs(given - expected).max() / expected.std()))
