"""A UNet or VAE from elsewhere in place of the model's own."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mdiff.errors import MdiffError
from mdiff.model import ModelSource, describe
from tests.checkpoint import make_checkpoint, random_tensors
from tests.checkpoint_config import KINDS
from tests.model.ldm_checkpoint import single_file
from tests.prompt.make_golden import write_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "digests"))


@pytest.fixture
def folder(tmp_path):
    return make_checkpoint(tmp_path / "model")


@pytest.fixture
def other(tmp_path):
    return make_checkpoint(tmp_path / "other", seed=1)


def assert_is(component, expected):
    assert set(component.weights.names) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(component.weights.read(name), value)


def seeded(part, class_name, seed):
    return random_tensors(class_name, KINDS["sd15-tiny"][part], seed)


@pytest.mark.parametrize("how", ["folder", "file", "file in a folder", "only file of a folder"])
def test_unet(tmp_path, folder, other, how):
    file = other / "unet/diffusion_pytorch_model.safetensors"
    if how == "only file of a folder":
        (tmp_path / "alone").mkdir()
        shutil.copy(file, tmp_path / "alone/distilled_4step.safetensors")
    part = {
        "folder": str(other / "unet"),
        "file": {"path": str(file)},
        "file in a folder": {"path": str(other / "unet"), "file": file.name},
        "only file of a folder": str(tmp_path / "alone"),
    }[how]
    description = describe(ModelSource(str(folder), unet=part))
    assert_is(description.components["unet"], seeded("unet", "UNet2DConditionModel", 1))
    assert_is(description.components["vae"], seeded("vae", "AutoencoderKL", 0))
    own, replaced = describe(ModelSource(str(folder))).digests(), description.digests()
    assert {part for part in own if own[part] != replaced[part]} == {"unet"}
    assert replaced["unet"] == describe(ModelSource(str(other))).digests()["unet"]


def test_a_folder_brings_its_config(folder, tmp_path):
    """A UNet that takes the guidance scale, as the latent consistency models have it."""
    lcm = make_checkpoint(tmp_path / "lcm", "lcm-tiny")
    description = describe(ModelSource(str(folder), unet=str(lcm / "unet")))
    assert description.guidance_embedded and not describe(ModelSource(str(folder))).guidance_embedded


def test_vae_under_its_original_names(tmp_path):
    """A VAE alone as web UIs have it, with and without the prefix of a whole checkpoint."""
    write_tokenizer(tmp_path / "tokenizer", ["a b</w>"], "<|endoftext|>")
    save_file(single_file("sd1"), tmp_path / "model.safetensors")
    other = {name: tensor for name, tensor in single_file("sd1", seed=1).items() if name.startswith("first_stage")}
    save_file(other, tmp_path / "prefixed.vae.safetensors")
    save_file({name.removeprefix("first_stage_model."): t for name, t in other.items()}, tmp_path / "bare.safetensors")
    source = {"path": str(tmp_path / "model.safetensors"), "tokenizer": str(tmp_path / "tokenizer")}
    save_file(single_file("sd1", seed=1), tmp_path / "whole.safetensors")
    expected = describe(ModelSource(str(tmp_path / "whole.safetensors"), tokenizer=source["tokenizer"]))
    for name in ("prefixed.vae.safetensors", "bare.safetensors"):
        found = describe(ModelSource(**source, vae=str(tmp_path / name))).components["vae"].weights
        assert set(found.names) == set(expected.components["vae"].weights.names)
        for tensor in found.names:
            np.testing.assert_array_equal(found.read(tensor), expected.components["vae"].weights.read(tensor))


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("/nowhere/unet.safetensors", "model.unet /nowhere/unet.safetensors is missing"),
        ({"path": "x", "fiel": "y"}, "model.unet has no key 'fiel'; did you mean 'file'"),
        ({"file": "y"}, "model.unet has an entry without a path"),
        (3, "model.unet has 3; an entry is a path"),
    ],
)
def test_refusals(folder, part, said):
    with pytest.raises(MdiffError) as caught:
        describe(ModelSource(str(folder), unet=part))
    assert said in str(caught.value)


def test_what_does_not_fit_is_named(folder, tmp_path):
    unet = make_checkpoint(tmp_path / "v2", "sd21-tiny") / "unet"
    with pytest.raises(MdiffError, match="the UNet takes text states of width 48, the text encoders give 32"):
        describe(ModelSource(str(folder), unet=str(unet)))
    config = unet / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"attention_type": "gated"}))
    with pytest.raises(MdiffError, match="'attention_type' = 'gated' is not supported"):
        describe(ModelSource(str(folder), unet=str(unet)))


def test_loras_are_merged_into_the_replaced_unet(folder, other, tmp_path):
    from tests.model.lora_file import write_lora

    changes = write_lora(tmp_path / "lora.safetensors", "sd15-tiny", "peft", ("unet",))["unet"]
    source = ModelSource(str(folder), unet=str(other / "unet"), loras=[str(tmp_path / "lora.safetensors")])
    weights = describe(source).components["unet"].weights
    base = load_file(other / "unet/diffusion_pytorch_model.safetensors")
    for name, change in changes.items():
        np.testing.assert_allclose(weights.read(name), base[name] + change, rtol=1e-5, atol=1e-5)
