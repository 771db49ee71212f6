"""Which device a run uses."""

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from mdiff.errors import MdiffError, nearest

KINDS = ("auto", "cpu", "ascend")
PROBE_SECONDS = 120.0

# In a process of its own: the plugin may hang or abort where the driver is broken, and a process that has once asked
# for a device cannot change its mind. `is_available` alone only says that the plugin was found.
_PROBE = """
import json
import mindspore as ms
ascend = ms.device_context.ascend
count = ascend.device_count() if ascend.is_available() else 0
name = ""
if count:
    ms.set_device("Ascend", 0)
    name = str(ms.hal.get_device_name(0, "Ascend")) if hasattr(ms, "hal") else ""
print("\\n" + json.dumps({"count": count, "name": name}))
"""


@dataclass(frozen=True)
class Device:
    """One processor: its kind, its number among its kind, and what it calls itself."""

    kind: Literal["cpu", "ascend"]
    id: int = 0
    name: str = "cpu"


def choose(kind: str = "auto", id: int | str = 0) -> Device:
    """Return the device that `kind` ("auto", "cpu", "ascend") and `id` (an int, or "auto" for 0) stand for.

    "auto" takes an Ascend where one answers and the CPU otherwise. Raises MdiffError for another kind, and for an
    Ascend (or a number of one) that is not there. MindSpore is not imported into this process.
    """
    if kind not in KINDS:
        raise MdiffError(f"device {kind!r} is unknown{nearest(kind, KINDS)}")
    if isinstance(id, bool) or not (id == "auto" or (isinstance(id, int) and id >= 0)):
        raise MdiffError(f"device.id = {id!r} is not a device number; expected 0, 1, … or 'auto'")
    number = 0 if isinstance(id, str) else id
    if kind == "cpu":
        return Device("cpu")
    count, name, fault = probe_ascend()
    if number < count:
        return Device("ascend", number, name if name else "Ascend")
    if kind == "auto" and count == 0:
        return Device("cpu")
    if count:
        raise MdiffError(f"device.id = {number} was asked for, but there are {count} Ascend devices, numbered from 0")
    raise MdiffError(f"device=ascend was asked for, but {fault}; use device=cpu or device=auto")


@functools.cache
def probe_ascend() -> tuple[int, str, str]:
    """Return (number of Ascend devices, name of the first, why there is none), asked once a process."""
    if not _has_driver():
        return 0, "", "no Ascend NPU was found (there is no /dev/davinci* device)"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
            env={**os.environ, "GLOG_v": "3"},
        )
    except subprocess.TimeoutExpired:
        return 0, "", f"the Ascend driver did not answer within {PROBE_SECONDS:.0f} s"
    lines = [line for line in answer.stdout.splitlines() if line.startswith("{")]
    if answer.returncode != 0 or not lines:
        last = answer.stderr.strip().splitlines()[-1:]
        return 0, "", "MindSpore cannot use the Ascend NPU" + (f" ({last[0].strip()})" if last else "")
    found = json.loads(lines[-1])
    if not found["count"]:
        return 0, "", "MindSpore finds no Ascend device (is CANN installed and its set_env.sh sourced?)"
    return int(found["count"]), str(found["name"]), ""


def _has_driver() -> bool:
    """Whether the kernel driver has made a device node; asking costs nothing where there is no NPU."""
    with os.scandir("/dev") as entries:
        return any(entry.name.startswith("davinci") for entry in entries)
