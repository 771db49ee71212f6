"""Precisions: what is asked for, what is in effect, and what is said about the difference."""

import pytest

from mdiff.device import Device, resolve_precision
from mdiff.errors import MdiffError

CPU = Device("cpu")
A2, A1 = Device("ascend", 0, "Ascend910B2"), Device("ascend", 0, "Ascend910A")


@pytest.mark.parametrize("requested", ["auto", "fp32"])
def test_cpu_computes_in_float32(requested):
    precision = resolve_precision(requested, CPU, force_upcast_vae=True)
    assert (precision.weights, precision.compute, precision.vae) == ("float32",) * 3
    assert precision.substitutions == ()


@pytest.mark.parametrize(("requested", "weights"), [("bf16", "bfloat16"), ("fp16", "float16")])
def test_cpu_rounds_weights_and_says_so(requested, weights):
    precision = resolve_precision(requested, CPU)
    assert (precision.weights, precision.compute, precision.vae) == (weights, "float32", "float32")
    assert len(precision.substitutions) == 1
    assert weights in precision.substitutions[0]


def test_ascend_auto_is_bfloat16_where_there_is_such():
    precision = resolve_precision("auto", A2, force_upcast_vae=True)
    assert (precision.weights, precision.compute, precision.vae) == ("bfloat16",) * 3
    assert precision.substitutions == ()


@pytest.mark.parametrize("requested", ["auto", "bf16"])
@pytest.mark.parametrize("name", ["Ascend910A", "Ascend910", "Ascend910ProA", "Ascend310P3"])
def test_first_generation_has_no_bfloat16(requested, name):
    precision = resolve_precision(requested, Device("ascend", 0, name))
    assert precision.compute == precision.weights == "float16"
    assert "float16 is used" in precision.substitutions[0]


@pytest.mark.parametrize("name", ["Ascend910B1", "Ascend910_9391", "Ascend910C", "Ascend950"])
def test_later_generations_have(name):
    assert resolve_precision("bf16", Device("ascend", 0, name)).compute == "bfloat16"


def test_vae_that_overflows_half_precision_runs_in_float32():
    precision = resolve_precision("fp16", A2, force_upcast_vae=True)
    assert (precision.compute, precision.vae) == ("float16", "float32")
    assert "force_upcast" in precision.substitutions[0]
    assert resolve_precision("fp16", A2).vae == "float16"
    assert resolve_precision("fp32", A1, force_upcast_vae=True).substitutions == ()


def test_unknown_word_names_the_nearest():
    with pytest.raises(MdiffError, match="did you mean 'bf16'"):
        resolve_precision("bf-16", CPU)
