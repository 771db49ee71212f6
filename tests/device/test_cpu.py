"""The CPU's fast formulations beside the plain ones, where their tricks could show."""

import os
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mdiff.device import cpu, portable
from mdiff.doctor import reference

ROOT = Path(__file__).parents[2]


def tensors(*arrays):
    return [ms.Tensor(each.astype(np.float32)) for each in arrays]


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_gelu_is_exact_to_a_few_millionths():
    """Over the whole range, the end of the fit at 6 included."""
    x = np.concatenate([np.linspace(-12, 12, 200_001), np.linspace(5.99, 6.01, 2001)]).astype(np.float32)
    expected = reference.gelu(x.astype(np.float64))
    assert np.abs(ms.jit(cpu.gelu)(ms.Tensor(x)).asnumpy() - expected).max() < 3.4e-6


def test_gelu_at_the_ends():
    x = np.array([-np.inf, -1e30, -1e4, 0, 1e4, 1e30, np.nan], np.float32)
    result = ms.jit(cpu.gelu)(ms.Tensor(x)).asnumpy()
    assert result[2] == 0
    assert result[3] == 0
    assert result[4] == 1e4
    assert result[5] == np.float32(1e30)
    assert np.isnan(result[6])


def test_group_norm_leaves_no_trace():
    """Batch normalisation keeps running statistics; used twice, and again, the result stays the same."""
    norm = cpu.group_norm(4, 1e-5)

    def twice(x, weight, bias):
        return norm(norm(x, weight, bias) * 3.0 + 1.0, weight, bias)

    x, weight, bias = draw(2, 16, 5, 7) * 2 + 3, draw(16, seed=1), draw(16, seed=2)
    once = reference.group_norm(x, weight, bias, 4, 1e-5)
    expected = reference.group_norm(once * 3 + 1, weight, bias, 4, 1e-5)
    graph = ms.jit(twice)
    for _ in range(3):
        assert np.abs(graph(*tensors(x, weight, bias)).asnumpy() - expected).max() < 1e-5


@pytest.mark.parametrize("offset", [10.0, 100.0])
def test_group_norm_far_from_zero(offset):
    """The variance is not a difference of large numbers."""
    x, weight, bias = draw(1, 8, 6, 6) + offset, np.ones(8), np.zeros(8)
    x = x.astype(np.float32).astype(np.float64)
    result = ms.jit(cpu.group_norm(2, 1e-5))(*tensors(x, weight, bias)).asnumpy()
    assert np.abs(result - reference.group_norm(x, weight, bias, 2, 1e-5)).max() < 1e-6 * offset


@pytest.mark.parametrize("size", [(8, 10), (7, 10), (8, 9), (7, 9), (12, 15)])
def test_upsampling_is_bit_exact(size):
    x = draw(2, 3, 4, 5).astype(np.float32)

    def run(x):
        return cpu.upsample_nearest(x, size[0], size[1])

    assert np.array_equal(ms.jit(run)(ms.Tensor(x)).asnumpy(), reference.upsample_nearest(x, *size))


def test_formulations_of_a_shape_are_shared():
    """What is shared is parsed by the graph compiler once."""
    assert cpu.conv2d(8, 3, 1, 1) is cpu.conv2d(8, 3, 1, 1)
    assert portable.attention(2, 8) is portable.attention(2, 8)
    assert cpu.group_norm(4, 1e-5) is not cpu.group_norm(4, 1e-6)


def test_half_precision_statistics_are_float32():
    """Plain norms in half precision, whose squares would overflow float16."""
    x = (draw(1, 8, 4, 4) * 600).astype(np.float16)
    weight, bias = np.ones(8, np.float16), np.zeros(8, np.float16)
    result = portable.group_norm(2, 1e-5)(ms.Tensor(x), ms.Tensor(weight), ms.Tensor(bias))
    assert result.dtype == ms.float16
    expected = reference.group_norm(x.astype(np.float64), weight, bias, 2, 1e-5)
    assert np.abs(result.asnumpy() - expected).max() < 5e-3


KEEPING = """
import re, sys
from mdiff import device as devices
devices.activate(devices.choose("cpu"))
import mindspore as ms
import numpy as np
from mdiff.device import {module} as kernels

norm, attention = kernels.group_norm(8, 1e-5), kernels.attention(4, 8)

def run(x, weight, scale):
    for _ in range(8):
        x = norm(x, scale, scale)
        rows = kernels.linear_from_pixels(x, weight, scale).reshape(1, -1, 32)  # (1, h·w, C)
        rows = attention.merge(attention.split(rows) + 1.0).reshape(-1, 32)
        x = x + kernels.linear_to_pixels(rows, weight, scale, 256, 256)
    return x

def resident():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

x = ms.Tensor(np.ones((1, 32, 256, 256), np.float32))  # 8 MB
before = resident()
ms.jit(run)(x, ms.Tensor(np.eye(32, dtype=np.float32)), ms.Tensor(np.ones(32, np.float32))).asnumpy()
print(resident() - before)
"""


@pytest.mark.parametrize(("module", "keeps"), [("cpu", False), ("portable", True)])
def test_no_kernel_keeps_memory(tmp_path, module, keeps):
    """The kernels of broadcast products and of transposes keep indices, 8 bytes an element, as long as the graph lives.

    The plain formulations have them, so that this would notice.
    """
    script = tmp_path / "keeping.py"
    script.write_text(KEEPING.format(module=module))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    megabytes = float(done.stdout.split()[-1])
    assert megabytes > 600 if keeps else megabytes < 250, megabytes
