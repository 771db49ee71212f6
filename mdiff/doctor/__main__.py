"""`python -m mdiff.doctor`: what this machine has, and whether it computes what it should."""

import argparse
import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata

import mdiff
from mdiff import device as devices
from mdiff.doctor.check import Finding, examine
from mdiff.errors import MdiffError

PRECISIONS = {"cpu": ("fp32",), "ascend": ("fp32", "fp16", "bf16")}
BUNDLED = "bundled:emoji"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print versions, devices and the error of every formulation; return 0 where all are right, else 1."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.doctor", description=__doc__)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "ascend"))
    parser.add_argument("--id", default=0, type=int, help="number of the device")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "fp16", "bf16"), help="default: all that it has")
    parser.add_argument("--model", default=BUNDLED, help="folder or hub id for the timing (default: the bundled model)")
    parser.add_argument("--no-generate", action="store_true", help="leave out the timing of a short generation")
    options = parser.parse_args(arguments)
    try:
        device = devices.choose(options.device, options.id)
        devices.activate(device)
        _print_machine(device)
        wrong = []
        for requested in options.precision or PRECISIONS[device.kind]:
            wrong += _examine(device, requested)
        if not options.no_generate:
            _generate(device, options.model)
    except MdiffError as error:
        print(error, file=sys.stderr)
        return 1
    if wrong:
        names = "; ".join(f"{finding.case} ({finding.dtype})" for finding in wrong)
        print(f"{len(wrong)} wrong: {names}. Pictures made on this device are not to be trusted.", file=sys.stderr)
        return 1
    print("Every formulation is right.")
    return 0


def _print_machine(device: devices.Device) -> None:
    import mindspore as ms

    print(f"mdiff {mdiff.__version__}, MindSpore {ms.__version__}, numpy {metadata.version('numpy')}")
    print(f"Python {platform.python_version()}, {platform.platform()}")
    print(f"device {device.kind} {device.id} ({device.name})")


def _examine(device: devices.Device, requested: str) -> list[Finding]:
    """Print the table of one precision and return the findings that are wrong."""
    precision = devices.resolve_precision(requested, device)
    kernels = devices.kernels(device, precision)
    print(f"\nprecision {requested}: weights {precision.weights}, compute {precision.compute}, vae {precision.vae}")
    for sentence in precision.substitutions:
        print(f"  {sentence}")
    findings = examine(device, kernels)
    width = max(len(finding.case) for finding in findings)
    print(f"  {'formulations: ' + kernels.name:<{width}}  largest error / standard deviation")
    for finding in findings:
        result = f"{finding.error:.1e}" if finding.fault is None else finding.fault
        print(f"  {finding.case:<{width}}  {result}{'' if finding.right else '   WRONG'}")
    return [finding for finding in findings if not finding.right]


def _generate(device: devices.Device, model: str) -> None:
    """Time one image of four steps."""
    began = time.perf_counter()
    pipeline = mdiff.DiffusionPipeline.from_pretrained(model, device=device.kind)
    loaded = time.perf_counter()
    pipeline("a red heart", num_inference_steps=4, seed=0)
    first = time.perf_counter()
    pipeline("a red heart", num_inference_steps=4, seed=1)
    second = time.perf_counter()
    print(
        f"\none image of 4 steps: load {loaded - began:.1f} s, first {first - loaded:.1f} s (with compilation), "
        f"second {second - first:.2f} s"
    )
    peak = devices.memory_peak(device)
    if peak is not None:
        print(f"device memory, at most: {peak:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
