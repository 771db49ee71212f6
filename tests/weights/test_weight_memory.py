"""Loading takes little memory beyond the weights that are kept."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

_MEASURE = """
import json, sys
from pathlib import Path
from mdiff import device as devices
devices.prepare_environment()
devices.activate(devices.choose("cpu"))
import mindspore as ms
from mindspore.common.initializer import initializer
from mindspore.nn.utils import no_init_parameters
from mdiff.weights import open_weights
from mdiff.weights.assign import assign

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

weights = open_weights(Path(sys.argv[1]), "model")
with no_init_parameters():
    parameters = {
        name: ms.Parameter(initializer("zeros", weights.shape(name), ms.float32), name=name) for name in weights.names
    }
Path("/proc/self/clear_refs").write_text("5")  # begin a new peak
before = status("VmRSS")
assign(parameters, weights, sys.argv[2], round_to=sys.argv[3])
print(json.dumps({"peak": status("VmHWM") - before, "kept": status("VmRSS") - before}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures with Linux's /proc")
@pytest.mark.parametrize(
    ("stored", "dtype", "round_to"),
    [("F16", "float32", "float32"), ("F32", "float32", "bfloat16"), ("F32", "bfloat16", "bfloat16")],
)
def test_peak_is_close_to_what_is_kept(tmp_path, stored, dtype, round_to):
    size, number = {"F16": (2, np.float16), "F32": (4, np.float32)}[stored]
    count, tensors = 1 << 22, 24
    header = {
        f"w{i}": {"dtype": stored, "shape": [2048, 2048], "data_offsets": [i * size * count, (i + 1) * size * count]}
        for i in range(tensors)
    }
    text = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(tensors):
            file.write(np.linspace(-1, 1, count).astype(number).tobytes())
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(tmp_path), dtype, round_to],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    measured = json.loads(done.stdout.splitlines()[-1])
    wanted = tensors * count * (2 if dtype == "bfloat16" else 4)
    assert wanted < measured["kept"] < 1.1 * wanted + 32e6
    assert measured["peak"] < 1.15 * wanted + 32e6
