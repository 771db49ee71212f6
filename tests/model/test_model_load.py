"""Assembling networks with their weights: every tensor where it belongs, in its format, within the memory."""

import json

import numpy as np
import pytest

from mdiff import device as devices
from mdiff.errors import MdiffError
from mdiff.model import ModelSource, describe, load
from mdiff.weights.convert import from_float32, to_float32
from tests.checkpoint import make_checkpoint, random_tensors
from tests.checkpoint_config import KINDS

devices.prepare_environment()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "digests"))


def loaded(folder, precision="fp32", **source):
    description = describe(ModelSource(str(folder), **source))
    device = devices.choose("cpu")
    resolved = devices.resolve_precision(precision, device)
    devices.activate(device)
    return load(description, device, resolved)


def networks(model):
    yield from zip(model.description.text_encoders, model.text_encoders, strict=True)
    yield model.description.components["unet"], model.unet
    yield model.description.components["vae"], model.vae


@pytest.mark.parametrize("kind", ["sd15-tiny", "sd21-tiny", "sdxl-tiny", "lcm-tiny"])
@pytest.mark.parametrize(
    ("dtype", "precision"), [("float32", "fp32"), ("float16", "fp32"), ("bfloat16", "bf16"), ("float32", "bf16")]
)
def test_every_tensor_is_where_it_belongs(tmp_path, kind, dtype, precision):
    from mdiff import nn

    model = loaded(make_checkpoint(tmp_path / "m", kind, dtype=dtype), precision)
    for part, cell in networks(model):
        parameters = nn.renames(cell)
        expected = random_tensors(part.class_name, part.config)
        assert set(parameters) == set(expected)
        for name, value in expected.items():
            stored = to_float32(from_float32(value, dtype), dtype)
            rounded = stored if precision == "fp32" else to_float32(from_float32(stored, "bfloat16"), "bfloat16")
            np.testing.assert_array_equal(parameters[name].asnumpy(), rounded, err_msg=name)
    assert model.tokenizers[0](["a cat"]).shape == (1, 77)
    assert model.scaling_factor == KINDS[kind]["vae"].get("scaling_factor", 0.18215) and model.shift_factor == 0.0


def test_older_names_and_sharding(tmp_path):
    """The VAE's attention of the first exports, a text encoder without its prefix, position numbers, shards."""
    from safetensors.numpy import load_file, save_file

    folder = make_checkpoint(tmp_path / "m", sharded=True)
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    today = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in load_file(path).items():
        for new, before in today.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{before}.")
        old[name] = tensor
    assert sum("proj_attn" in name for name in old) == 4
    save_file(old, path)
    path = folder / "text_encoder/model.safetensors"
    text = {name.removeprefix("text_model."): tensor for name, tensor in load_file(path).items()}
    save_file(text | {"embeddings.position_ids": np.arange(77)[None]}, path)
    plain, changed = loaded(make_checkpoint(tmp_path / "plain")), loaded(folder)
    for (_, a), (_, b) in zip(networks(plain), networks(changed), strict=True):
        for one, other in zip(a.get_parameters(), b.get_parameters(), strict=True):
            np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("conv_in.bias"), "lacks the tensor 'conv_in.bias'"),
        (lambda t: t.update({"conv_in.extra": t["conv_in.bias"]}), "has the tensor 'conv_in.extra'"),
        (lambda t: t.update({"conv_in.bias": t["conv_in.bias"][:-1]}), r"'conv_in.bias' with shape \[31\]"),
        (lambda t: t.update({"text_model.x": t.pop("conv_in.bias")}), "lacks the tensor 'conv_in.bias'"),
    ],
)
def test_strict(tmp_path, change, said):
    from safetensors.numpy import load_file, save_file

    folder = make_checkpoint(tmp_path / "m")
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    with pytest.raises(MdiffError, match=said) as caught:
        loaded(folder)
    assert str(path) in str(caught.value)


def test_an_encoder_is_read_when_it_is_asked_for(tmp_path):
    """Nothing that makes images encodes pixels, so a file without a whole encoder does until somebody wants to."""
    from safetensors.numpy import load_file, save_file

    folder = make_checkpoint(tmp_path / "m")
    path = folder / "vae/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    model = loaded(folder)
    assert model.network("vae").encoder is None
    decoding = {id(each) for each in model.network("vae").get_parameters()}
    assert model.vae is model.network("vae") and model.vae.encoder is not None
    assert decoding < {id(each) for each in model.vae.get_parameters()}

    del tensors["encoder.conv_in.bias"]
    save_file(tensors, path)
    model = loaded(folder)
    for _ in range(2):
        with pytest.raises(MdiffError, match=r"lacks the tensor 'encoder\.conv_in\.bias'"):
            model.vae.encode(None)
    assert model.network("vae").encoder is None


def test_other_widths_in_the_config_are_named(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    path = folder / "text_encoder/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"intermediate_size": 48}))
    with pytest.raises(MdiffError, match=r"model\.safetensors has .* with shape \[64, 32\] instead of \[48, 32\]"):
        loaded(folder)


def test_a_vocabulary_larger_than_the_text_encoder_is_named(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    path = folder / "tokenizer/vocab.json"
    vocabulary = json.loads(path.read_text())
    path.write_text(json.dumps(vocabulary | {"more": 600}))
    with pytest.raises(MdiffError, match=r"tokenizer .* has 601 tokens, text_encoder takes 520"):
        loaded(folder)
