"""The networks against stored results of diffusers and transformers: within 1e-4 of the standard deviation."""

from pathlib import Path

import numpy as np
import pytest

from tests.nn.case import TEXTS, UNET_PARAMETERS, VAES
from tests.nn.example import build, cpu_kernels, error, latents, pixels, token_ids, unet_inputs

TOLERANCE = 1e-4
GOLDEN = Path(__file__).parent / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


def run_unet(kind, size, kernels=None):
    """One call of the UNet as a graph."""
    import mindspore as ms

    cell = build(kind, "unet", cpu_kernels() if kernels is None else kernels)
    inputs = unet_inputs(kind, size)
    names = ("sample", "timesteps", "context", "added", "condition")
    tensors = [ms.Tensor(inputs[name]) if name in inputs else None for name in names]
    return ms.jit(cell.construct)(*tensors).asnumpy()


def run_text(kind, name):
    """Last hidden state, the last layer's input, pooled state."""
    import mindspore as ms

    cell = build(kind, name, cpu_kernels())
    return tuple(each.asnumpy() for each in ms.jit(cell.construct)(ms.Tensor(token_ids())))


def run_autoencoder(kind):
    """Decoded pixels, encoded moments."""
    import mindspore as ms

    cell = build(kind, "vae", cpu_kernels())
    decoded = ms.jit(cell.decode)(ms.Tensor(latents())).asnumpy()
    return decoded, ms.jit(cell.encode)(ms.Tensor(pixels())).asnumpy()


@pytest.mark.parametrize(("kind", "size"), UNET_PARAMETERS)
def test_unet(golden, kind, size):
    assert error(run_unet(kind, size), golden[f"unet {kind} {size}"]) < TOLERANCE


@pytest.mark.parametrize(("kind", "name"), TEXTS)
def test_text_encoder(golden, kind, name):
    last, penultimate, pooled = run_text(kind, name)
    assert error(last[:, ::7], golden[f"last {kind} {name}"]) < TOLERANCE
    assert error(penultimate[:, ::7], golden[f"penultimate {kind} {name}"]) < TOLERANCE
    assert error(pooled, golden[f"pooled {kind} {name}"]) < TOLERANCE


@pytest.mark.parametrize("kind", VAES)
def test_autoencoder(golden, kind):
    decoded, moments = run_autoencoder(kind)
    assert error(decoded, golden[f"decoded {kind}"]) < TOLERANCE
    assert error(moments, golden[f"moments {kind}"]) < TOLERANCE
