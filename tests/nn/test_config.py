"""Component configs: those of public checkpoints are taken, everything beyond the cells is refused by name."""

import subprocess
import sys

import pytest

from mdiff.errors import MdiffError
from mdiff.nn import check_config, parse_config
from tests.checkpoint_config import KINDS
from tests.nn.real_config import REAL, TEXT_15, UNET_15, UNET_XL, VAE_15

COMPONENT = {"UNet2DConditionModel": UNET_15, "AutoencoderKL": VAE_15, "CLIPTextModel": TEXT_15}


@pytest.mark.parametrize("name", REAL)
def test_public_checkpoints(name):
    class_name, config, _ = REAL[name]
    check_config(class_name, config)


@pytest.mark.parametrize("kind", KINDS)
def test_little_checkpoints(kind):
    for name, entry in KINDS[kind]["model_index"].items():
        if name in KINDS[kind] and name != "scheduler":
            check_config(entry[1], KINDS[kind][name])


UNSUPPORTED = [
    ("UNet2DConditionModel", "class_embed_type", "timestep"),
    ("UNet2DConditionModel", "addition_embed_type", "image"),
    ("UNet2DConditionModel", "encoder_hid_dim_type", "text_proj"),
    ("UNet2DConditionModel", "encoder_hid_dim", 1024),
    ("UNet2DConditionModel", "resnet_time_scale_shift", "scale_shift"),
    ("UNet2DConditionModel", "only_cross_attention", [True, True, True, False]),
    ("UNet2DConditionModel", "mid_block_type", "UNetMidBlock2DSimpleCrossAttn"),
    ("UNet2DConditionModel", "down_block_types", ["SimpleCrossAttnDownBlock2D"] * 4),
    ("UNet2DConditionModel", "up_block_types", ["UpBlock2D", "SkipUpBlock2D", "UpBlock2D", "UpBlock2D"]),
    ("UNet2DConditionModel", "num_class_embeds", 1000),
    ("UNet2DConditionModel", "dual_cross_attention", True),
    ("UNet2DConditionModel", "num_attention_heads", 8),
    ("UNet2DConditionModel", "center_input_sample", True),
    ("UNet2DConditionModel", "time_embedding_type", "fourier"),
    ("UNet2DConditionModel", "transformer_layers_per_block", [[1, 1], [2, 2], [10, 10], [1, 1]]),
    ("UNet2DConditionModel", "attention_type", "gated"),
    ("UNet2DConditionModel", "act_fn", "gelu"),
    ("UNet2DConditionModel", "norm_num_groups", None),
    ("UNet2DConditionModel", "layers_per_block", 0),
    ("UNet2DConditionModel", "in_channels", "4"),
    ("UNet2DConditionModel", "in_channels", True),
    ("UNet2DConditionModel", "norm_eps", float("nan")),
    ("UNet2DConditionModel", "flip_sin_to_cos", 1),
    ("AutoencoderKL", "down_block_types", ["AttnDownEncoderBlock2D"] * 4),
    ("AutoencoderKL", "latents_mean", [0.0] * 4),
    ("AutoencoderKL", "act_fn", "mish"),
    ("AutoencoderKL", "layers_per_block", [2, 2, 2, 2]),
    ("CLIPTextModel", "hidden_act", "relu"),
    ("CLIPTextModel", "model_type", "t5"),
    ("CLIPTextModel", "vocab_size", -1),
]


@pytest.mark.parametrize(("class_name", "key", "value"), UNSUPPORTED)
def test_an_unsupported_value_is_named(class_name, key, value):
    with pytest.raises(MdiffError) as caught:
        check_config(class_name, {**COMPONENT[class_name], key: value})
    assert repr(key) in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("class_name", COMPONENT)
def test_an_unknown_key_is_named(class_name):
    with pytest.raises(MdiffError, match=r"'secret_gate' = 3 is not supported"):
        check_config(class_name, {**COMPONENT[class_name], "secret_gate": 3})


def test_a_mistyped_key_names_the_nearest():
    with pytest.raises(MdiffError, match=r"did you mean .*'norm_num_groups'"):
        check_config("UNet2DConditionModel", {**UNET_15, "norm_num_group": 32})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"up_block_types": UNET_15["up_block_types"][:3]}, "'up_block_types' has 3 entries"),
        ({"block_out_channels": [320, 640, 1280]}, "'block_out_channels' has 3 entries for 4 levels"),
        ({"block_out_channels": 320}, "must be a list"),
        ({"attention_head_dim": [8, 8]}, "'attention_head_dim' has 2 entries for 4 levels"),
        ({"block_out_channels": [320, 640, 1280, 1290]}, "1290 channels, which norm_num_groups = 32 does not divide"),
        ({"attention_head_dim": 7}, "320 channels, which attention_head_dim"),
        ({"projection_class_embeddings_input_dim": 2816}, "needs 'addition_embed_type'"),
        ({"_class_name": "UNet3DConditionModel"}, "describes a UNet3DConditionModel"),
    ],
)
def test_keys_that_contradict_each_other(changes, said):
    with pytest.raises(MdiffError, match=said):
        check_config("UNet2DConditionModel", {**UNET_15, **changes})


@pytest.mark.parametrize("key", ["projection_class_embeddings_input_dim", "addition_time_embed_dim"])
def test_sizes_as_conditions_need_their_widths(key):
    with pytest.raises(MdiffError, match=f"needs the key '{key}'"):
        check_config("UNet2DConditionModel", {**UNET_XL, key: None})


def test_unknown_class_names_the_nearest():
    with pytest.raises(MdiffError, match=r"did you mean .*'UNet2DConditionModel'"):
        check_config("UNet3DConditionModel", UNET_15)


def test_a_config_that_is_no_mapping():
    with pytest.raises(MdiffError, match="is a list"):
        check_config("AutoencoderKL", [])


def test_a_head_count_that_no_level_uses_may_be_anything():
    """SDXL's finest level has no attention."""
    config = parse_config("UNet2DConditionModel", {**UNET_XL, "attention_head_dim": [7, 10, 20]})
    assert config.heads == (7, 10, 20)


def test_the_defaults_of_a_key_that_is_absent():
    config = parse_config("UNet2DConditionModel", UNET_15)
    assert (config.time_dim, config.transformer_layers, config.context_dims) == (1280, (1,) * 4, (768,) * 4)
    assert config.up_attention == (False, True, True, True)
    assert parse_config("AutoencoderKL", VAE_15).mid_attention
    assert parse_config("CLIPTextModel", TEXT_15).projection_dim is None


def test_checking_imports_no_mindspore():
    code = (
        "import sys; from mdiff.nn import check_config; check_config('AutoencoderKL', {}); "
        "assert 'mindspore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
