"""Single-file checkpoints: recognised, every tensor found again, configs as the family's own; other files named."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from mdiff.errors import MdiffError
from mdiff.model import ModelSource, describe
from mdiff.model.tokenizers import open_tokenizers
from mdiff.nn.config import parse_config
from mdiff.weights.hub import HubOptions
from tests.checkpoint import make_checkpoint
from tests.model.ldm_checkpoint import CLASSES, FAMILIES, components, single_file
from tests.prompt.make_golden import write_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "digests"))


@pytest.fixture
def tokenizer(tmp_path):
    write_tokenizer(tmp_path / "tokenizer", ["a b</w>"], "<|endoftext|>")
    return str(tmp_path / "tokenizer")


def written(tmp_path, tensors, metadata=None):
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata=metadata)
    return str(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tensor_and_config_is_found(tmp_path, tokenizer, family):
    description = describe(ModelSource(written(tmp_path, single_file(family)), tokenizer=tokenizer))
    assert description.kind == ("sdxl" if family == "sdxl" else "sd")
    expected = components(family)
    assert set(description.components) == set(expected)
    for name, tensors in expected.items():
        part = description.components[name]
        weights = part.weights
        assert set(weights.names) == set(tensors)
        for tensor, value in tensors.items():
            assert weights.shape(tensor) == value.shape, tensor
            np.testing.assert_array_equal(weights.read(tensor), value, err_msg=tensor)
        np.testing.assert_array_equal(weights.read_as(tensor, "float16"), value.astype(np.float16))
        defaults = {"eos_token_id": 49407} if name.startswith("text") else {}
        wanted = parse_config(CLASSES[name], {**defaults, **FAMILIES[family][name]})
        found = parse_config(CLASSES[name], part.config)
        for key, value in vars(wanted).items():
            if key != "upcast_attention":
                assert getattr(found, key) == value, (name, key)
    assert len(set(description.digests().values())) == 2  # the file's, and the tokenizer's
    assert description.default_width == {"sd1": 64, "sd2": 96, "sdxl": 128}[family] * 2


def test_loads_as_a_folder_does(tmp_path, tokenizer):
    """The networks compute the same from one file as from a folder."""
    from mdiff import device as devices
    from mdiff.model import load

    devices.prepare_environment()
    device = devices.choose("cpu")
    devices.activate(device)
    precision = devices.resolve_precision("fp32", device)
    description = describe(ModelSource(written(tmp_path, single_file("sdxl")), tokenizer=tokenizer))
    model = load(description, device, precision)
    from mdiff import nn

    for part, cell in zip(description.text_encoders, model.text_encoders, strict=True):
        parameters = nn.renames(cell)
        for name, value in components("sdxl")[part.name].items():
            np.testing.assert_array_equal(parameters[name].asnumpy(), value)


@pytest.mark.parametrize(
    ("family", "extra", "metadata", "given", "prediction"),
    [
        ("sd1", [], None, None, "epsilon"),
        ("sd2", [], None, None, "v_prediction"),
        ("sd2", [], None, "epsilon", "epsilon"),
        ("sd2", [], {"modelspec.prediction_type": "epsilon"}, None, "epsilon"),
        ("sdxl", [], None, None, "epsilon"),
        ("sdxl", ["v_pred"], None, None, "v_prediction"),
        ("sdxl", ["v_pred", "ztsnr"], None, None, "v_prediction"),
    ],
)
def test_prediction_types(tmp_path, tokenizer, family, extra, metadata, given, prediction):
    tensors = single_file(family) | {name: np.zeros(0, np.float32) for name in extra}
    source = ModelSource(written(tmp_path, tensors, metadata), tokenizer=tokenizer, prediction_type=given)
    description = describe(source)
    assert description.prediction_type == prediction
    assert description.scheduler_config.get("rescale_betas_zero_snr", False) == ("ztsnr" in extra)


def only(prefix):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def without(prefix):
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("first_stage_model"), "has no VAE"),
        (without("cond_stage_model"), "has a UNet but no text encoder"),
        (without("model.diffusion_model"), "is no checkpoint of Stable Diffusion"),
        (without("model.diffusion_model.conv"), None),
        (lambda t: {"lora_unet_x.lora_down.weight": t["betas"]}, "is a LoRA, not a model"),
        (lambda t: {"model.diffusion_model.joint_blocks.0.x": t["betas"]}, "is Stable Diffusion 3"),
        (lambda t: {"double_blocks.0.img_attn.x": t["betas"]}, "is Flux"),
        (lambda t: {"conditioner.embedders.0.model.ln_final.weight": t["betas"]}, "is an SDXL refiner"),
        (lambda t: {"encoder.conv_in.weight": t["betas"]}, "is a VAE alone"),
        (lambda t: {"conv_in.weight": t["betas"]}, "is one component of a model"),
        (lambda t: {"x": t["betas"]}, "is no checkpoint of Stable Diffusion"),
        (without("model.diffusion_model.out.2"), "lacks what is 'conv_out.weight' here"),
        (without("first_stage_model.decoder.conv_in"), "lacks what is 'decoder.conv_in.weight' here"),
    ],
)
def test_other_files_are_named(tmp_path, tokenizer, change, said):
    path = written(tmp_path, change(single_file("sd1")))
    if said is None:
        assert describe(ModelSource(path, tokenizer=tokenizer)).kind == "sd"
        return
    with pytest.raises(MdiffError) as caught:
        describe(ModelSource(path, tokenizer=tokenizer))
    assert said in str(caught.value) and path in str(caught.value)


def test_pickles_and_truncated_files_are_refused_by_content(tmp_path, tokenizer):
    path = tmp_path / "model.ckpt"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(MdiffError, match="zip of pickles"):
        describe(ModelSource(str(path)))
    path = tmp_path / "model.safetensors"
    save_file(single_file("sd1"), path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MdiffError, match="truncated: expected"):
        describe(ModelSource(str(path), tokenizer=tokenizer))


def test_an_unknown_tensor_is_named_when_loading(tmp_path, tokenizer):
    tensors = single_file("sd1")
    tensors["model.diffusion_model.input_blocks.1.0.surprise.weight"] = tensors["betas"]
    description = describe(ModelSource(written(tmp_path, tensors), tokenizer=tokenizer))
    assert "input_blocks.1.0.surprise.weight" in description.components["unet"].weights.names


class TestVocabulary:
    def test_of_a_model_folder(self, tmp_path):
        folder = make_checkpoint(tmp_path / "other")
        description = describe(ModelSource(written(tmp_path, single_file("sd1")), tokenizer=str(folder)))
        assert open_tokenizers(description)[0].vocab_size == 520

    def test_stable_diffusion_2_pads_with_an_exclamation_mark(self, tmp_path, tokenizer):
        description = describe(ModelSource(written(tmp_path, single_file("sdxl")), tokenizer=tokenizer))
        first, second = open_tokenizers(description)
        assert first.pad_id == first.eos_id and second.pad_id == 0
        assert first.max_length == second.max_length == 24

    def test_missing_says_what_to_do(self, tmp_path, monkeypatch):
        path = written(tmp_path, single_file("sd1"))
        with pytest.raises(MdiffError, match=r"model\.tokenizer is '/nowhere'"):
            describe(ModelSource(path, tokenizer="/nowhere"))
        monkeypatch.setattr("mdiff.model.vocabulary.find_spec", lambda name: None)
        options = HubOptions(offline=True, cache_dir=str(tmp_path / "cache"))
        with pytest.raises(MdiffError, match=r"holds no tokenizer: set model\.tokenizer to a folder"):
            describe(ModelSource(path), options)


@pytest.mark.parity
@pytest.mark.parametrize("family", FAMILIES)
def test_names_agree_with_diffusers_conversion(family):
    """The original names that these tests write are those that diffusers reads."""
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("diffusers.loaders.single_file_utils")
    tensors = {name: torch.from_numpy(tensor) for name, tensor in single_file(family).items()}
    expected = components(family)
    config = {"class_embed_type": None, "addition_embed_type": None, **FAMILIES[family]["unet"]}
    converted = {
        "unet": utils.convert_ldm_unet_checkpoint(dict(tensors), config),
        "vae": utils.convert_ldm_vae_checkpoint(dict(tensors), FAMILIES[family]["vae"]),
    }
    if family != "sd1":
        transformers = pytest.importorskip("transformers")
        name, prefix, cls = {
            "sd2": ("text_encoder", "cond_stage_model.model.", transformers.CLIPTextModel),
            "sdxl": ("text_encoder_2", "conditioner.embedders.1.model.", transformers.CLIPTextModelWithProjection),
        }[family]
        encoder = cls(transformers.CLIPTextConfig(**FAMILIES[family][name]))
        found = utils.convert_open_clip_checkpoint(encoder, dict(tensors), prefix=prefix)
        # a CLIPTextModel of transformers 5 has no prefix; the last layer of Stable Diffusion 2 is not in its config
        usual = {tensor if tensor.startswith("text_") else f"text_model.{tensor}": found[tensor] for tensor in found}
        converted[name] = {tensor: value for tensor, value in usual.items() if ".layers.2." not in tensor}
    for name, found in converted.items():
        assert set(found) == set(expected[name])
        for tensor, value in expected[name].items():
            np.testing.assert_array_equal(found[tensor].numpy().reshape(value.shape), value, err_msg=tensor)
