"""From files to MindSpore parameters: strict, in the wanted type, without a second copy in memory."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from mdiff import device as devices
from mdiff.errors import MdiffError
from mdiff.weights import open_weights
from mdiff.weights.convert import from_float32, to_float32

devices.prepare_environment()  # before MindSpore is imported

import mindspore as ms  # noqa: E402
from mindspore import nn  # noqa: E402

from mdiff.weights.assign import assign  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def device():
    devices.activate(devices.choose("cpu"))


@pytest.fixture
def tensors():
    rng = np.random.default_rng(0)
    return {"weight": rng.standard_normal((6, 5)).astype(np.float32), "bias": rng.standard_normal(6).astype(np.float32)}


def parameters(cell):
    return {parameter.name: parameter for parameter in cell.get_parameters()}


def opened(folder, tensors):
    save_file(tensors, folder / "model.safetensors")
    return open_weights(folder, "model")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("round_to", [None, "bfloat16"])
def test_parameters_hold_the_values(tmp_path, tensors, dtype, round_to):
    cell = nn.Dense(5, 6)
    assign(parameters(cell), opened(tmp_path, tensors), dtype, round_to=round_to)
    for name, parameter in parameters(cell).items():
        assert parameter.dtype == getattr(ms, dtype)
        coarse = tensors[name] if round_to is None else to_float32(from_float32(tensors[name], round_to), round_to)
        expected = to_float32(from_float32(coarse, dtype), dtype)
        np.testing.assert_array_equal(parameter.asnumpy().astype(np.float32), expected)


def test_the_cell_computes_with_them(tmp_path, tensors):
    cell = nn.Dense(5, 6)
    assign(parameters(cell), opened(tmp_path, tensors), "float32")
    x = np.random.default_rng(1).standard_normal((3, 5)).astype(np.float32)
    np.testing.assert_allclose(
        cell(ms.Tensor(x)).asnumpy(), x @ tensors["weight"].T + tensors["bias"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("bias"), "lacks the tensor 'bias'"),
        (lambda t: t.update(extra=t["bias"]), "has the tensor 'extra'"),
        (lambda t: t.update(weight=t["weight"].T.copy()), r"'weight' with shape \[5, 6\] instead of \[6, 5\]"),
    ],
)
def test_strict(tmp_path, tensors, change, said):
    change(tensors)
    cell = nn.Dense(5, 6)
    before = cell.weight.asnumpy().copy()
    with pytest.raises(MdiffError, match=said):
        assign(parameters(cell), opened(tmp_path, tensors), "float32")
    np.testing.assert_array_equal(cell.weight.asnumpy(), before)


def test_ignored_names(tmp_path, tensors):
    tensors["position_ids"] = np.arange(7)
    assign(parameters(nn.Dense(5, 6)), opened(tmp_path, tensors), "float32", ignore=("position",))
