"""The calls that an Ascend would get: names of arguments, layouts, types and padding, through spies that compute.

Each spy checks what the documentation of its call demands and answers with float64 arithmetic, so that what comes out
of the formulation around it is compared as well.
"""

import math

import mindspore as ms
import numpy as np
import pytest

from mdiff import device as devices
from mdiff.device import Device, ascend, kernels, portable, resolve_precision
from mdiff.doctor import reference
from mdiff.doctor.case import CASES
from mdiff.doctor.check import examine

A2, A1 = Device("ascend", 0, "Ascend910B2"), Device("ascend", 0, "Ascend910A")


def wide(tensor):
    return tensor.astype(ms.float32).asnumpy().astype(np.float64)


def narrow(array, like):
    return ms.Tensor(array.astype(np.float32)).astype(like.dtype)


class Spies:
    """Stand-ins for the calls that only an Ascend has, with the demands of their documentation."""

    def __init__(self):
        self.calls = []

    def conv2d(self, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        self.calls.append("conv2d")
        assert input.dtype == weight.dtype
        zero = np.zeros(weight.shape[0])
        result = reference.conv2d(wide(input), wide(weight), zero if bias is None else wide(bias), stride, padding)
        return narrow(result, input)

    def linear(self, input, weight, bias=None):
        self.calls.append("linear")
        assert input.dtype == weight.dtype
        result = wide(input) @ wide(weight).T + (0 if bias is None else wide(bias))
        return narrow(result, input)

    def group_norm(self, input, num_groups, weight=None, bias=None, eps=1e-05):
        self.calls.append("group_norm")
        assert input.dtype == weight.dtype == bias.dtype
        assert eps >= 1e-5
        return narrow(reference.group_norm(wide(input), wide(weight), wide(bias), num_groups, eps), input)

    def layer_norm(self, input, normalized_shape, weight=None, bias=None, eps=1e-05):
        self.calls.append("layer_norm")
        assert tuple(normalized_shape) == tuple(input.shape[-1:])
        return narrow(reference.layer_norm(wide(input), wide(weight), wide(bias), eps), input)

    def silu(self, input, inplace=False):
        self.calls.append("silu")
        return narrow(reference.silu(wide(input)), input)

    def gelu(self, input, *, approximate="none"):
        self.calls.append("gelu")
        assert approximate == "none"
        return narrow(reference.gelu(wide(input)), input)

    def interpolate(self, input, size=None, scale_factor=None, mode="nearest", align_corners=None):
        self.calls.append("interpolate")
        assert scale_factor is None
        assert mode == "nearest"
        return narrow(reference.upsample_nearest(wide(input), *size), input)

    def pad(self, input, pad, mode="constant", value=None):
        self.calls.append("pad")
        widths = [(0, 0)] * input.ndim
        for i in range(len(pad) // 2):  # from the last axis backwards
            widths[-1 - i] = tuple(pad[2 * i : 2 * i + 2])
        return narrow(np.pad(wide(input), widths), input)

    def flash_attention_score(self, query, key, value, head_num, **options):
        """Documented: half precision only, scale 1.0 unless given, head size a multiple of 16 up to 512."""
        self.calls.append("flash_attention_score")
        assert set(options) == {"scalar_value", "input_layout"}
        assert options["input_layout"] == "BNSD"
        assert query.dtype in (ms.float16, ms.bfloat16)
        assert query.dtype == key.dtype == value.dtype
        b, n, _, d = query.shape
        assert (n, d % 16, d <= 512) == (head_num, 0, True)
        assert key.shape == value.shape
        assert (key.shape[0], key.shape[1], key.shape[3]) == (b, n, d)
        scores = wide(query) @ wide(key).transpose(0, 1, 3, 2) * options["scalar_value"]
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return narrow(weights / weights.sum(-1, keepdims=True) @ wide(value), query)


@pytest.fixture
def spies(monkeypatch):
    spies = Spies()
    functional = ms.mint.nn.functional
    for name in ("conv2d", "linear", "group_norm", "layer_norm", "silu", "gelu", "interpolate", "pad"):
        monkeypatch.setattr(functional, name, getattr(spies, name))
    monkeypatch.setattr(ms.ops, "flash_attention_score", spies.flash_attention_score)
    monkeypatch.setattr(ms, "jit", lambda function: function)  # a spy is no operator: call by call
    return spies


def test_every_formulation_is_right_through_the_calls(spies):
    """In float32; the fused attention has no place there."""
    findings = examine(Device("cpu"), kernels(A2, resolve_precision("fp32", A2)))
    assert [finding for finding in findings if not finding.right] == []
    assert set(spies.calls) == {"conv2d", "linear", "group_norm", "layer_norm", "silu", "gelu", "interpolate", "pad"}


def test_attention_in_half_precision_goes_through_the_fused_call(spies):
    cases = [case for case in CASES if case.name.startswith("attention") and "1 × 512" not in case.name]
    findings = examine(Device("cpu"), kernels(A2, resolve_precision("fp16", A2)), cases)
    assert [finding for finding in findings if not finding.right] == []
    assert spies.calls.count("flash_attention_score") == len(cases)


@pytest.mark.parametrize(("head_dim", "size"), [(40, 64), (64, 64), (80, 80), (128, 128), (160, 256)])
def test_heads_are_padded_and_scaled_by_their_true_size(spies, monkeypatch, head_dim, size):
    given = {}

    def spy(query, key, value, head_num, **options):
        given.update(options, shapes=(query.shape, key.shape))
        return spies.flash_attention_score(query, key, value, head_num, **options)

    monkeypatch.setattr(ms.ops, "flash_attention_score", spy)
    kernel = ascend.flash_attention(2, head_dim)
    draw = np.random.default_rng(0).standard_normal
    q, k = (ms.Tensor(draw((1, n, 2 * head_dim)).astype(np.float16)) for n in (6, 5))
    result = kernel.attend(kernel.split(q), kernel.split(k), kernel.split(k))
    assert given["shapes"] == ((1, 2, 6, size), (1, 2, 5, size))
    assert given["scalar_value"] == pytest.approx(1 / math.sqrt(head_dim), rel=1e-12)
    assert result.shape == (1, 6, 2 * head_dim)
    assert np.abs(wide(result) - reference.attention(wide(q), wide(k), wide(k), 2)).max() < 5e-3


def test_where_the_fused_attention_does_not_reach():
    """float32, heads of 512 (autoencoder), causal masks, and the generation without the kernel."""
    assert isinstance(ascend.flash_attention(1, 512), portable.MatmulAttention)
    for device, precision in ((A2, "fp32"), (A1, "fp16")):
        chosen = kernels(device, resolve_precision(precision, device))
        assert chosen.attention is portable.attention
    half = kernels(A2, resolve_precision("bf16", A2))
    assert isinstance(half.attention(8, 40, True), ascend.FlashAttention)
    assert half.masked_attention is portable.attention


def test_small_eps_is_composed_in_float32(spies):
    """Below what CANN advises for the fused kernel, and in half precision."""
    x = ms.Tensor((np.random.default_rng(0).standard_normal((1, 8, 4, 4)) * 600).astype(np.float16))
    weight, bias = ms.Tensor(np.ones(8, np.float16)), ms.Tensor(np.zeros(8, np.float16))
    result = ascend.group_norm(2, 1e-6)(x, weight, bias)
    assert spies.calls == []
    expected = reference.group_norm(wide(x), wide(weight), wide(bias), 2, 1e-6)
    assert np.abs(wide(result) - expected).max() < 5e-3


def test_the_autoencoder_may_have_its_own_type():
    precision = resolve_precision("fp16", A2, force_upcast_vae=True)
    assert devices.kernels(A2, precision).dtype == "float16"
    assert devices.kernels(A2, precision, dtype=precision.vae).dtype == "float32"


def test_the_documented_calls_exist():
    """MindSpore has these names with these arguments, on whatever device."""
    import inspect

    functional = ms.mint.nn.functional
    demands = {
        functional.conv2d: ("input", "weight", "bias", "stride", "padding"),
        functional.group_norm: ("input", "num_groups", "weight", "bias", "eps"),
        functional.layer_norm: ("input", "normalized_shape", "weight", "bias", "eps"),
        functional.interpolate: ("input", "size", "mode"),
        functional.pad: ("input", "pad"),
        ms.ops.flash_attention_score: ("query", "key", "value", "head_num", "scalar_value", "input_layout"),
    }
    for call, names in demands.items():
        assert set(names) <= set(inspect.signature(call).parameters)
