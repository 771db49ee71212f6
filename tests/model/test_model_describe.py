"""Describing a folder: what a checkpoint says of itself, and a sentence for every way in which it can be broken."""

import json
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mdiff.errors import MdiffError
from mdiff.model import Lora, ModelSource, describe
from tests.checkpoint import make_checkpoint
from tests.checkpoint_config import KINDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "digests"))


@pytest.fixture
def folder(tmp_path):
    return make_checkpoint(tmp_path / "model")


def edit(path, **changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        if value is ...:
            content.pop(key, None)
        else:
            content[key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_described(tmp_path, kind):
    folder = make_checkpoint(tmp_path / kind, kind)
    description = describe(ModelSource(str(folder)))
    parts = KINDS[kind]
    assert description.kind == ("sdxl" if "XL" in parts["model_index"]["_class_name"] else "sd")
    assert description.scheduler_class == parts["model_index"]["scheduler"][1]
    assert description.scheduler_config == parts["scheduler"]
    assert description.prediction_type == parts["scheduler"].get("prediction_type", "epsilon")
    assert description.training_steps == 1000 and description.latent_channels == 4
    assert description.vae_scale_factor == description.size_multiple == 8
    assert description.default_width == description.default_height == 8 * parts["unet"]["sample_size"]
    assert description.max_tokens == 77
    assert description.guidance_embedded == kind.startswith("lcm")
    assert description.force_upcast_vae == kind.startswith("sdxl")
    assert description.zero_empty_prompt == kind.startswith("sdxl")
    assert [part.name for part in description.text_encoders] == ["text_encoder", "text_encoder_2"][
        : len(description.tokenizers)
    ]
    digests = description.digests()
    assert set(digests) == set(description.components) | {files.name for files in description.tokenizers}
    assert all(len(digest) == 64 for digest in digests.values())


def test_the_bundled_model():
    description = describe(ModelSource("bundled:emoji"))
    assert description.kind == "sd" and (description.default_width, description.default_height) == (64, 64)
    with pytest.raises(MdiffError, match=r"no model 'emojy' comes with mdiff; did you mean 'emoji'\?"):
        describe(ModelSource("bundled:emojy"))


def test_same_files_same_digests_and_other_weights_others(tmp_path):
    first = describe(ModelSource(str(make_checkpoint(tmp_path / "a")))).digests()
    assert describe(ModelSource(str(make_checkpoint(tmp_path / "b")))).digests() == first
    other = describe(ModelSource(str(make_checkpoint(tmp_path / "c", seed=1)))).digests()
    assert all(other[part] != first[part] for part in ("unet", "vae", "text_encoder"))
    assert other["tokenizer"] == first["tokenizer"]


def test_variant_and_shards(tmp_path):
    folder = make_checkpoint(tmp_path / "m", dtype="float16", variant="fp16", sharded=True)
    description = describe(ModelSource(str(folder), variant="fp16"))
    assert len(description.components["unet"].weights.files) == 3
    with pytest.raises(MdiffError, match="only the variant fp16"):
        describe(ModelSource(str(folder)))
    with pytest.raises(MdiffError, match=r"has the variant 'fp32'; did you mean 'fp16'\?"):
        describe(ModelSource(str(folder), variant="fp32"))
    # a component that never had the variant comes as it is, and "auto" takes what is there
    (folder / "vae/diffusion_pytorch_model.fp16.safetensors").rename(folder / "vae/diffusion_pytorch_model.safetensors")
    for variant in ("fp16", "auto"):
        assert set(describe(ModelSource(str(folder), variant=variant)).digests()) >= {"unet", "vae"}
    plain = make_checkpoint(tmp_path / "plain")
    assert describe(ModelSource(str(plain), variant="auto")).digests() == describe(ModelSource(str(plain))).digests()


def test_quick_and_without_mindspore(tmp_path):
    folder = make_checkpoint(tmp_path / "m", "sdxl-tiny")
    code = (
        "import sys, time\n"
        "from mdiff.model import ModelSource, describe\n"
        "begin = time.perf_counter(); describe(ModelSource(sys.argv[1]))\n"
        "print(time.perf_counter() - begin, 'mindspore' in sys.modules, 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split()[1:] == ["False", "False"]
    begin = time.process_time()
    describe(ModelSource(str(folder)))
    assert time.process_time() - begin < 0.1


BROKEN = {
    "no index": (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
    "index is no JSON": (lambda f: (f / "model_index.json").write_text("{"), "model_index.json is not valid JSON"),
    "index is a list": (lambda f: (f / "model_index.json").write_text("[]"), "holds a list, not a JSON object"),
    "index is not UTF-8": (lambda f: (f / "model_index.json").write_bytes(b"\xff\xfe"), "is not valid JSON"),
    "pipeline": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusion3Pipeline"),
        "the pipeline class 'StableDiffusion3Pipeline', which is not supported; did you mean 'StableDiffusionPipeline'",
    ),
    "no pipeline": (lambda f: edit(f / "model_index.json", _class_name=...), "the pipeline class None"),
    "parent": (lambda f: edit(f / "model_index.json", **{"../unet": ["diffusers", "X"]}), "'../unet'"),
    "absolute": (lambda f: edit(f / "model_index.json", **{"/etc": ["diffusers", "X"]}), "'/etc'"),
    "entry": (lambda f: edit(f / "model_index.json", unet="UNet2DConditionModel"), "names no component"),
    "component": (
        lambda f: edit(f / "model_index.json", controlnet=["diffusers", "ControlNetModel"]),
        "the component 'controlnet' (ControlNetModel)",
    ),
    "class": (
        lambda f: edit(f / "model_index.json", vae=["diffusers", "AutoencoderTiny"]),
        "vae is a AutoencoderTiny, supported is AutoencoderKL",
    ),
    "lacking": (lambda f: edit(f / "model_index.json", vae=[None, None]), "has no 'vae'"),
    "config missing": (lambda f: (f / "unet/config.json").unlink(), "unet/config.json is missing"),
    "config key": (
        lambda f: edit(f / "unet/config.json", attention_tpye="gated"),
        "config key 'attention_tpye' = 'gated' is not supported; did you mean 'attention_type'",
    ),
    "config value": (lambda f: edit(f / "unet/config.json", class_embed_type="timestep"), "'class_embed_type'"),
    "config type": (lambda f: edit(f / "vae/config.json", latent_channels="4"), "'latent_channels' = '4'"),
    "activation": (lambda f: edit(f / "text_encoder/config.json", hidden_act="relu"), "'hidden_act' = 'relu'"),
    "other class": (
        lambda f: edit(f / "unet/config.json", _class_name="UNet2DModel"),
        "its config.json describes a UNet2DModel",
    ),
    "inpainting": (lambda f: edit(f / "unet/config.json", in_channels=9), "the UNet has in_channels 9, the VAE 4"),
    "text width": (
        lambda f: edit(f / "unet/config.json", cross_attention_dim=48),
        "the UNet takes text states of width 48, the text encoders give 32",
    ),
    "scheduler": (lambda f: (f / "scheduler/scheduler_config.json").unlink(), "scheduler_config.json is missing"),
    "vocabulary": (lambda f: (f / "tokenizer/merges.txt").unlink(), "neither vocab.json with merges.txt"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_folders(folder, name):
    breaks, said = BROKEN[name]
    breaks(folder)
    with pytest.raises(MdiffError) as caught:
        describe(ModelSource(str(folder)))
    assert said in str(caught.value) and str(folder) in str(caught.value) and "\n" not in str(caught.value)


WEIGHT = "unet/diffusion_pytorch_model.safetensors"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 3438167540\n"
BROKEN_WEIGHTS = {
    "missing": (lambda p: p.unlink(), "is missing"),
    "truncated": (
        lambda p: p.write_bytes(p.read_bytes()[:-7]),
        "truncated: expected {size} bytes, it has {less} bytes",
    ),
    "cut in the header": (lambda p: p.write_bytes(p.read_bytes()[:99]), "truncated"),
    "empty": (lambda p: p.write_bytes(b""), "truncated: 0 bytes"),
    "corrupt": (lambda p: p.write_bytes(b"\x10" + bytes(7) + b"{" + b"\xff" * 200), "corrupt"),
    "pointer": (lambda p: p.write_text(POINTER), "git-lfs pointer, not the file itself (expected 3438167540 bytes"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "is a pickle"),
    "only pickles": (lambda p: p.rename(p.with_suffix(".bin")), "only diffusion_pytorch_model.bin: a pickle can run"),
    "only ckpt": (lambda p: p.rename(p.with_suffix(".ckpt")), "only diffusion_pytorch_model.ckpt: a pickle can run"),
}


@pytest.mark.parametrize("name", BROKEN_WEIGHTS)
def test_broken_weight_files(folder, name):
    breaks, said = BROKEN_WEIGHTS[name]
    size = (folder / WEIGHT).stat().st_size
    breaks(folder / WEIGHT)
    with pytest.raises(MdiffError) as caught:
        describe(ModelSource(str(folder)))
    message = str(caught.value)
    assert said.format(size=size, less=size - 7) in message
    assert str(folder / "unet") in message and "\n" not in message


def test_sdxl_parts_must_fit(tmp_path):
    folder = make_checkpoint(tmp_path / "xl", "sdxl-tiny")
    edit(folder / "text_encoder_2/config.json", projection_dim=25)
    with pytest.raises(MdiffError, match="added embeddings of width 120, text_encoder_2 gives 121"):
        describe(ModelSource(str(folder)))
    edit(folder / "model_index.json", _class_name="StableDiffusionPipeline", text_encoder_2=..., tokenizer_2=...)
    with pytest.raises(MdiffError, match=r"text states of width 72|added embeddings"):
        describe(ModelSource(str(folder)))


def test_hints_for_likely_mistakes(folder):
    with pytest.raises(MdiffError, match="is one component of a model; give the folder above"):
        describe(ModelSource(str(folder / "unet")))
    (folder / "model_index.json").unlink()
    (folder / "all.safetensors").write_bytes(b"")
    with pytest.raises(MdiffError, match=r"if all\.safetensors holds the whole model, give that file"):
        describe(ModelSource(str(folder)))
    for path in ("/no/such/folder", "nothing", "a/b/c", "./x/y", "owner/../x"):
        with pytest.raises(MdiffError, match="there is no such folder, and it is no Hub id"):
            describe(ModelSource(path))


def test_a_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert describe(ModelSource(f"~/{folder.name}")).kind == "sd"


def test_prediction_type_of_the_source_wins(folder):
    description = describe(ModelSource(str(folder), prediction_type="v_prediction"))
    assert description.prediction_type == description.scheduler_config["prediction_type"] == "v_prediction"


def test_optional_parts_have_no_effect(folder):
    before = describe(ModelSource(str(folder))).digests()
    edit(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        image_encoder=[None, None],
        requires_safety_checker=True,
    )
    assert describe(ModelSource(str(folder))).digests() == before


class TestSource:
    def test_is_a_plain_hashable_value(self):
        a = ModelSource("x", loras=[{"path": "a.safetensors", "weight": 0.5}, "b.safetensors"])
        b = ModelSource("x", loras=[Lora("a.safetensors", 0.5), Lora("b.safetensors")])
        assert a == b and hash(a) == hash(b)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"path": ""}, "model.path is not given"),
            ({"path": None}, "model.path is not given"),
            ({"path": "x", "revision": 3}, "model.revision is 3"),
            ({"path": "x", "variant": "../fp16"}, "model.variant is '../fp16'"),
            ({"path": "x", "variant": ""}, "model.variant is ''"),
            ({"path": "x", "prediction_type": "v"}, "model.prediction_type is 'v'"),
            ({"path": "x", "loras": "a.safetensors"}, "it takes a list"),
            ({"path": "x", "loras": [3]}, "model.loras has 3"),
            ({"path": "x", "loras": [{"weight": 1}]}, "without a path"),
            ({"path": "x", "loras": [{"path": "a", "wieght": 1}]}, "did you mean 'weight'"),
            ({"path": "x", "loras": [{"path": "a", "weight": float("nan")}]}, "the weight of LoRA a is nan"),
            ({"path": "x", "loras": [{"path": "a", "weight": True}]}, "the weight of LoRA a is True"),
        ],
    )
    def test_refuses(self, options, said):
        with pytest.raises(MdiffError) as caught:
            ModelSource(**options)
        assert said in str(caught.value)
