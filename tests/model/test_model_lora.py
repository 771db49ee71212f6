"""LoRAs: every layout merges to W + weight · alpha / r · B A; what does not belong is named."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from mdiff.errors import MdiffError
from mdiff.model import ModelSource, describe
from mdiff.weights.convert import convert
from tests.checkpoint import make_checkpoint, random_tensors
from tests.checkpoint_config import KINDS
from tests.model.lora_file import CLASSES, LAYOUTS, write_declared, write_lora


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MDIFF_CACHE", str(tmp_path / "digests"))


def parts_of(kind, layout):
    parts = ("unet", "text_encoder", "text_encoder_2") if kind.startswith("sdxl") else ("unet", "text_encoder")
    return ("unet",) if layout == "processor" else parts


def assert_merged(description, kind, sums):
    """Every weight of the description is the checkpoint's plus `sums`, the changes by component and name."""
    for part, component in description.components.items():
        if part == "vae":
            continue
        base = random_tensors(CLASSES[part], KINDS[kind][part])
        touched = 0
        for name in component.weights.names:
            change = sums.get(part, {}).get(name)
            expected = base[name] if change is None else base[name] + change
            touched += change is not None
            np.testing.assert_allclose(
                component.weights.read_as(name, "float32"), expected, rtol=1e-5, atol=1e-5, err_msg=name
            )
        assert touched == len(sums.get(part, {}))


@pytest.mark.parametrize("kind", ["sd15-tiny", "sdxl-tiny"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(tmp_path, kind, layout):
    folder = make_checkpoint(tmp_path / "m", kind)
    changes = write_lora(tmp_path / "lora.safetensors", kind, layout, parts_of(kind, layout))
    assert sum(len(part) for part in changes.values()) > 10
    source = ModelSource(str(folder), loras=[{"path": str(tmp_path / "lora.safetensors"), "weight": 0.7}])
    sums = {part: {name: np.float32(0.7) * change for name, change in each.items()} for part, each in changes.items()}
    assert_merged(describe(source), kind, sums)


def test_several_add_up(tmp_path):
    kind = "sd15-tiny"
    folder = make_checkpoint(tmp_path / "m", kind)
    first = write_lora(tmp_path / "a.safetensors", kind, "peft", ("unet",), seed=1)["unet"]
    second = write_lora(tmp_path / "b.safetensors", kind, "kohya", ("unet", "text_encoder"), rank=4, seed=2)
    loras = [
        {"path": str(tmp_path / "a.safetensors"), "weight": -0.5},
        {"path": str(tmp_path / "b.safetensors"), "weight": 2},
    ]
    sums = {part: {name: 2 * change for name, change in each.items()} for part, each in second.items()}
    for name, change in first.items():
        sums["unet"][name] = sums["unet"].get(name, 0) - np.float32(0.5) * change
    description = describe(ModelSource(str(folder), loras=loras))
    assert_merged(description, kind, sums)
    digests = description.digests()
    assert digests["lora_1"] != digests["lora_2"]
    assert digests["unet"] == describe(ModelSource(str(folder))).digests()["unet"]
    assert description.pixel_options["loras"] == [["lora_1", -0.5], ["lora_2", 2]]


def test_weight_zero_changes_nothing(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    write_lora(tmp_path / "a.safetensors", "sd15-tiny", "peft", ("unet",))
    loras = [{"path": str(tmp_path / "a.safetensors"), "weight": 0}]
    assert_merged(describe(ModelSource(str(folder), loras=loras)), "sd15-tiny", {"unet": {}} | {"unet": {}})


@pytest.mark.parametrize("rslora", [False, True])
def test_alpha_in_the_metadata(tmp_path, rslora):
    folder = make_checkpoint(tmp_path / "m")
    changes = write_declared(tmp_path / "a.safetensors", "sd15-tiny", alpha=8.0, rank=4, rslora=rslora)
    source = ModelSource(str(folder), loras=[str(tmp_path / "a.safetensors")])
    assert_merged(describe(source), "sd15-tiny", {"unet": changes})


def test_merged_before_rounding(tmp_path):
    """fp16 files and a bf16 target: the sum is taken in float32 and rounded once."""
    folder = make_checkpoint(tmp_path / "m", dtype="float16")
    changes = write_lora(tmp_path / "a.safetensors", "sd15-tiny", "peft", ("unet",))["unet"]
    weights = describe(ModelSource(str(folder), loras=[str(tmp_path / "a.safetensors")])).components["unet"].weights
    for name, change in changes.items():
        base = random_tensors(CLASSES["unet"], KINDS["sd15-tiny"]["unet"])[name].astype(np.float16)
        exact = base.astype(np.float32) + change
        np.testing.assert_array_equal(
            weights.read_as(name, "bfloat16"), convert(exact.astype(np.float32), "float32", "bfloat16"), err_msg=name
        )


def test_folders_and_their_files(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    loras = tmp_path / "loras"
    loras.mkdir()
    source = ModelSource(str(folder), loras=[str(loras)])
    with pytest.raises(MdiffError, match="has no safetensors file"):
        describe(source)
    (loras / "x.bin").write_bytes(b"\x80\x02")
    with pytest.raises(MdiffError, match="has only pickles"):
        describe(source)
    changes = write_lora(loras / "a.safetensors", "sd15-tiny", "peft", ("unet",))
    assert_merged(describe(source), "sd15-tiny", changes)
    write_lora(loras / "b.safetensors", "sd15-tiny", "peft", ("unet",), seed=3)
    with pytest.raises(MdiffError, match=r"has several files: say which, as file: a\.safetensors"):
        describe(source)
    chosen = ModelSource(str(folder), loras=[{"path": str(loras), "file": "a.safetensors"}])
    assert_merged(describe(chosen), "sd15-tiny", changes)
    with pytest.raises(MdiffError, match=r"has no file 'c\.safetensors'; it has a\.safetensors"):
        describe(ModelSource(str(folder), loras=[{"path": str(loras), "file": "c.safetensors"}]))


def edited(change):
    def edit(path):
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)

    return edit


def first(tensors, ending):
    return next(name for name in tensors if name.endswith(ending))


def renamed(tensors, old, new):
    for name in list(tensors):
        if old in name:
            tensors[name.replace(old, new)] = tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: renamed(t, "down_blocks_0", "down_blocks_7"), "does not have: lora_unet_down_blocks_7"),
        (
            lambda t: renamed(t, "lora_unet_mid", "lora_te2_mid"),
            "is for another kind of model: it changes lora_te2_mid",
        ),
        (lambda t: renamed(t, "lora_unet_mid", "lora_prior_mid"), "is for no component known here"),
        (lambda t: t.pop(first(t, "lora_up.weight")), "but not the up factor"),
        (lambda t: t.pop(first(t, "lora_down.weight")), "but not the down factor"),
        (lambda t: t.update({"lora_unet_x.hada_w1_a": t[first(t, "alpha")]}), "it is LoHa, which is not supported"),
        (lambda t: t.update({"lora_unet_x.lokr_w1": t[first(t, "alpha")]}), "it is LoKr"),
        (lambda t: t.update({"lora_unet_x.dora_scale": t[first(t, "alpha")]}), "it is DoRA"),
        (lambda t: t.update({"lora_unet_x.lora_mid.weight": t[first(t, "alpha")]}), "LoCon with a Tucker core"),
        (lambda t: t.update({"emb_params": t[first(t, "alpha")]}), "'emb_params', which is no part of a LoRA"),
        (lambda t: t.clear(), "has no layer in it"),
        (
            lambda t: t.update({first(t, "lora_up.weight"): np.ones((5, 2), np.float32)}),
            r"is for another architecture: .*\(\[5, ",
        ),
        (
            lambda t: t.update({first(t, "lora_down.weight"): np.ones((3, 32), np.float32)}),
            "is for another architecture",
        ),
    ],
)
def test_what_does_not_belong_is_named(tmp_path, change, said):
    folder = make_checkpoint(tmp_path / "m")
    path = tmp_path / "lora.safetensors"
    write_lora(path, "sd15-tiny", "kohya", ("unet",))
    edited(change)(path)
    with pytest.raises(MdiffError, match=said) as caught:
        describe(ModelSource(str(folder), loras=[str(path)]))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_lora_of_another_architecture(tmp_path):
    folder = make_checkpoint(tmp_path / "m", "sd15-tiny")
    path = tmp_path / "lora.safetensors"
    write_lora(path, "sdxl-tiny", "kohya_ldm", ("unet",))
    with pytest.raises(MdiffError, match=r"does not have: lora_unet_input_blocks|another architecture"):
        describe(ModelSource(str(folder), loras=[str(path)]))


def test_missing_and_pickled_files(tmp_path):
    folder = make_checkpoint(tmp_path / "m")
    with pytest.raises(MdiffError, match=r"LoRA /nowhere/x\.safetensors is missing"):
        describe(ModelSource(str(folder), loras=["/nowhere/x.safetensors"]))
    path = tmp_path / "pytorch_lora_weights.bin"
    path.write_bytes(b"PK\x03\x04" + bytes(300))
    with pytest.raises(MdiffError, match="zip of pickles"):
        describe(ModelSource(str(folder), loras=[str(path)]))


@pytest.mark.parity
@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        ("sd15-tiny", "peft"),
        ("sd15-tiny", "kohya"),
        ("sdxl-tiny", "peft"),
        ("sdxl-tiny", "kohya"),
        ("sdxl-tiny", "kohya_ldm"),
    ],
)
def test_equals_what_diffusers_fuses(tmp_path, kind, layout):
    pytest.importorskip("peft")
    diffusers = pytest.importorskip("diffusers")
    folder = make_checkpoint(tmp_path / "m", kind)
    path = tmp_path / "lora.safetensors"
    # one alpha for all: diffusers 0.42 with peft 0.21 warns that it drops alphas that differ from layer to layer
    write_lora(path, kind, layout, parts_of(kind, layout), kohya_alpha=3.0)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.load_lora_weights(str(tmp_path), weight_name=path.name)
    pipeline.fuse_lora(lora_scale=0.6)
    pipeline.unload_lora_weights()
    description = describe(ModelSource(str(folder), loras=[{"path": str(path), "weight": 0.6}]))
    for part in parts_of(kind, layout):
        fused = getattr(pipeline, part).state_dict()
        usual = {
            name if part == "unet" or name.startswith("text_") else f"text_model.{name}": fused[name] for name in fused
        }
        weights = description.components[part].weights
        for name in weights.names:
            np.testing.assert_allclose(
                weights.read_as(name, "float32"), usual[name].numpy(), rtol=1e-5, atol=1e-5, err_msg=name
            )
