"""The networks beside diffusers and transformers on PyTorch, live: within 1e-4 of the standard deviation."""

import pytest

from tests.nn.case import TEXTS, UNETS, VAES
from tests.nn.example import SIZES, error
from tests.nn.test_golden import TOLERANCE, run_autoencoder, run_text, run_unet

pytestmark = [pytest.mark.parity, pytest.mark.slow]
for _library in ("torch", "diffusers", "transformers"):
    pytest.importorskip(_library)

from tests.nn import reference  # noqa: E402


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [kind for kind, _ in UNETS])
def test_unet(kind, size):
    assert error(run_unet(kind, size), reference.unet(kind, size)) < TOLERANCE


@pytest.mark.parametrize(("kind", "name"), TEXTS)
def test_text_encoder(kind, name):
    for given, expected in zip(run_text(kind, name), reference.text(kind, name), strict=True):
        assert error(given, expected) < TOLERANCE


@pytest.mark.parametrize("kind", VAES)
def test_autoencoder(kind):
    for given, expected in zip(run_autoencoder(kind), reference.vae(kind), strict=True):
        assert error(given, expected) < TOLERANCE
