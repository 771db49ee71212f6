"""The compile cache in real processes: a hit is right, and nothing foreign is ever taken for a hit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from mdiff import device
device.prepare_environment()
device.activate(device.choose("cpu"))
import numpy as np, mindspore as ms
from mindspore import nn, ops
from mdiff.device.compile_cache import compile_cache
from mdiff.device.graph import graph_mode

class Net(nn.Cell):
    def __init__(self, gain):
        super().__init__()
        self.layers = nn.CellList([nn.Dense(8, 8) for _ in range(30)])
        for layer in self.layers:
            layer.weight.set_data(ms.Tensor(np.eye(8, dtype=np.float32) * gain))
            layer.bias.set_data(ms.Tensor(np.zeros(8, np.float32)))
    def construct(self, x):
        for layer in self.layers:
            x = ops.abs(layer(x))
        return x

told = []
for word in sys.argv[2:]:
    rows = int(word)
    x = ms.Tensor(np.ones((rows, 8), np.float32))
    net = Net(float(sys.argv[1]))
    with graph_mode():
        hit = compile_cache().compile(f"net {rows}", lambda: net.compile(x))
        y = net(x).asnumpy()
    told.append({"shape": list(y.shape), "value": float(y.mean()), "hit": hit})
print(json.dumps(told))
"""


def run(cache: Path, gain: float, *rows: int):
    environment = os.environ | {"MDIFF_COMPILE_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    program = cache.parent / "program.py"
    program.write_text(PROGRAM)  # MindSpore compiles source text, so it has to be in a file
    words = [sys.executable, str(program), str(gain), *map(str, rows)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    for each, count in zip(told, rows, strict=True):
        assert each["shape"] == [count, 8]
        assert each["value"] == pytest.approx(gain**30, rel=1e-4)
    return done, [each["hit"] for each in told]


def manifests(cache: Path):
    return sorted(cache.glob("*/manifest.json"))


def test_a_second_process_hits_with_other_weights_and_other_orders_are_right(tmp_path):
    _, cold = run(tmp_path / "cache", 1.01, 2, 3)
    _, warm = run(tmp_path / "cache", 0.99, 2, 3)
    assert (cold, warm) == ([False, False], [True, True])
    assert len(manifests(tmp_path / "cache")) == 1
    run(tmp_path / "cache", 1.02, 3, 2)  # another first graph: a folder of its own
    run(tmp_path / "cache", 1.02, 2, 5, 3)  # parts from the manifest at its second graph: right all the same
    assert len(manifests(tmp_path / "cache")) == 2
    run(tmp_path / "cache", 1.01, 2, 3, 7)
    assert [len(json.loads(path.read_text())) for path in manifests(tmp_path / "cache")].count(3) == 1, (
        "a longer run adds to it"
    )


def test_damage_recompiles_with_a_note(tmp_path):
    run(tmp_path / "cache", 1.01, 2, 3)
    graph = next(tmp_path.glob("cache/*/rank_0/graph_cache/compile_cache_1.mindir"))
    graph.chmod(0o600)
    graph.write_bytes(graph.read_bytes()[:1000])
    done, _ = run(tmp_path / "cache", 1.01, 2, 3)
    assert "is damaged or not mdiff's; compiling anew" in done.stderr
    done, _ = run(tmp_path / "cache", 1.01, 2, 3)
    assert "damaged" not in done.stderr
    manifests(tmp_path / "cache")[0].write_text("[{}]")
    done, _ = run(tmp_path / "cache", 1.01, 2, 3)
    assert "is damaged" in done.stderr


def test_a_graph_that_a_killed_writer_left_is_not_used(tmp_path):
    run(tmp_path / "cache", 1.01, 2, 3)
    path = manifests(tmp_path / "cache")[0]
    path.write_text(json.dumps(json.loads(path.read_text())[:1]))  # as if killed before the second was told
    run(tmp_path / "cache", 1.01, 2, 9)
    assert [entry["key"] for entry in json.loads(path.read_text())] == ["net 2", "net 9"]


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    run(blocked, 1.01, 2)
