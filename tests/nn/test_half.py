"""The networks in float16, as an Ascend would run them: types fit everywhere, results are those of float32 rounded.

The calls that only an Ascend has are the spies of `tests.device.test_ascend`, which refuse mixed types.
"""

import mindspore as ms
import numpy as np
import pytest

from mdiff import device as devices
from tests.device.test_ascend import A2, Spies, spies  # noqa: F401 (a fixture)
from tests.nn.example import build, error, latents, pixels, token_ids, unet_inputs
from tests.nn.test_golden import GOLDEN


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as file:
        return dict(file)


@pytest.fixture
def half(spies):  # noqa: F811
    return devices.kernels(A2, devices.resolve_precision("fp16", A2))


@pytest.mark.parametrize(
    ("kind", "size", "layers"),
    [("sd15-tiny", "odd", 1 + 1 + 2), pytest.param("sdxl-tiny", "even", 1 + 3 + 3 + 6 + 2, marks=pytest.mark.slow)],
)
def test_unet(spies, half, golden, kind, size, layers):  # noqa: F811
    cell = build(kind, "unet", half)
    assert {parameter.dtype for parameter in cell.get_parameters()} == {ms.float16}
    inputs = {name: ms.Tensor(each) for name, each in unet_inputs(kind, size).items()}
    result = cell(inputs["sample"], inputs["timesteps"], inputs["context"], inputs.get("added"))
    assert result.dtype == ms.float32
    assert error(result.asnumpy(), golden[f"unet {kind} {size}"]) < 3e-2
    assert spies.calls.count("flash_attention_score") == 2 * layers


def test_text_encoder(half, golden):
    last, penultimate, pooled = build("sdxl-tiny", "text_encoder_2", half)(ms.Tensor(token_ids()))
    assert {each.dtype for each in (last, penultimate, pooled)} == {ms.float32}
    assert error(last.asnumpy()[:, ::7], golden["last sdxl-tiny text_encoder_2"]) < 3e-2
    assert error(pooled.asnumpy(), golden["pooled sdxl-tiny text_encoder_2"]) < 3e-2


@pytest.mark.slow
def test_autoencoder(half, golden):
    cell = build("sd15-tiny", "vae", half)
    assert error(cell.decode(ms.Tensor(latents())).asnumpy(), golden["decoded sd15-tiny"]) < 5e-2
    assert error(cell.encode(ms.Tensor(pixels())).asnumpy(), golden["moments sd15-tiny"]) < 5e-2
