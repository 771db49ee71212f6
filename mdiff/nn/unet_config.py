"""The keys of UNet2DConditionModel, as Stable Diffusion 1.x, 2.x and XL use them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError
from mdiff.nn.key import (
    Key,
    check_divides,
    checked,
    count,
    counts,
    fixed,
    flag,
    inert,
    is_list,
    names,
    number,
    one_of,
    per_level,
)

DOWN = ("DownBlock2D", "CrossAttnDownBlock2D")
UP = ("UpBlock2D", "CrossAttnUpBlock2D")

UNET: dict[str, Key] = {
    "sample_size": inert(),
    "in_channels": count(4),
    "out_channels": count(4),
    "center_input_sample": fixed(False),
    "flip_sin_to_cos": flag(True),
    "freq_shift": number(0),
    "down_block_types": names((DOWN[1], DOWN[1], DOWN[1], DOWN[0]), DOWN),
    "mid_block_type": fixed("UNetMidBlock2DCrossAttn"),
    "up_block_types": names((UP[0], UP[1], UP[1], UP[1]), UP),
    "only_cross_attention": Key(
        False, lambda given: not any(given) if is_list(given) else given is False, "false at every level"
    ),
    "block_out_channels": counts((320, 640, 1280, 1280)),
    "layers_per_block": counts(2),
    "downsample_padding": fixed(1),
    "mid_block_scale_factor": fixed(1),
    "dropout": inert(0.0),
    "act_fn": one_of("silu", "swish"),
    "norm_num_groups": count(32),
    "norm_eps": number(1e-5),
    "cross_attention_dim": counts(1280),
    "transformer_layers_per_block": counts(1),
    "reverse_transformer_layers_per_block": fixed(None),
    "encoder_hid_dim": fixed(None),
    "encoder_hid_dim_type": fixed(None),
    "attention_head_dim": counts(8),
    "num_attention_heads": fixed(None),
    "dual_cross_attention": fixed(False),
    "use_linear_projection": flag(False),
    "class_embed_type": fixed(None),
    "addition_embed_type": one_of(None, "text_time"),
    "addition_embed_type_num_heads": inert(64),
    "addition_time_embed_dim": count(None),
    "num_class_embeds": fixed(None),
    "upcast_attention": Key(False, lambda given: given is None or isinstance(given, bool), "true, false or null"),
    "resnet_time_scale_shift": fixed("default"),
    "resnet_skip_time_act": fixed(False),
    "resnet_out_scale_factor": fixed(1.0),
    "time_embedding_type": fixed("positional"),
    "time_embedding_dim": count(None),
    "time_embedding_act_fn": fixed(None),
    "timestep_post_act": fixed(None),
    "time_cond_proj_dim": count(None),
    "conv_in_kernel": one_of(3, 1, 5, 7),
    "conv_out_kernel": one_of(3, 1, 5, 7),
    "projection_class_embeddings_input_dim": count(None),
    "attention_type": fixed("default"),
    "class_embeddings_concat": fixed(False),
    "mid_block_only_cross_attention": fixed(None, False),
    "cross_attention_norm": fixed(None),
    # What training with an averaged copy of the weights leaves behind
    **{key: inert() for key in ("decay", "inv_gamma", "min_decay", "optimization_step", "power")},
    **{key: inert() for key in ("update_after_step", "use_ema_warmup", "collected_params")},
}


@dataclass(frozen=True)
class UNetConfig:
    """The checked form: one entry a level in each tuple, from the finest level to the coarsest.

    `up_attention` runs from the coarsest level to the finest, as the up blocks do. `heads` is what the config calls
    `attention_head_dim`: the number of heads, whatever its name says.
    """

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    layers: tuple[int, ...]
    down_attention: tuple[bool, ...]
    up_attention: tuple[bool, ...]
    transformer_layers: tuple[int, ...]
    heads: tuple[int, ...]
    context_dims: tuple[int, ...]
    linear_projection: bool
    upcast_attention: bool
    groups: int
    eps: float
    time_dim: int
    flip_sin_to_cos: bool
    freq_shift: float
    time_cond_dim: int | None
    added: tuple[int, int] | None  # widths of SDXL's conditioning and of the sinusoid of one size in it
    conv_in_kernel: int
    conv_out_kernel: int

    @classmethod
    def parse(cls, config: Mapping[str, Any], name: str = "UNet2DConditionModel") -> "UNetConfig":
        """Check every key, spread what is given once over the levels, and check what depends on more than one key."""
        values = checked(name, UNET, config)
        down, up = values["down_block_types"], values["up_block_types"]
        levels = len(down)
        if len(up) != levels:
            raise MdiffError(f"{name}: 'up_block_types' has {len(up)} entries, 'down_block_types' {levels}")
        if not is_list(values["block_out_channels"]):
            raise MdiffError(f"{name}: config key 'block_out_channels' must be a list, one width for each level")
        level = {
            key: per_level(name, key, values[key], levels)
            for key in (
                "block_out_channels",
                "layers_per_block",
                "transformer_layers_per_block",
                "attention_head_dim",
                "cross_attention_dim",
                "only_cross_attention",
            )
        }
        channels = level["block_out_channels"]
        check_divides(name, "norm_num_groups", values["norm_num_groups"], "block_out_channels", channels)
        if channels[0] % 2:
            raise MdiffError(f"{name}: 'block_out_channels' begins with {channels[0]}, which is odd")
        # The coarsest level always has heads: the middle block attends there
        attends = [each == DOWN[1] or back == UP[1] for each, back in zip(down, reversed(up), strict=True)]
        attends[-1] = True
        for width, heads, used in zip(channels, level["attention_head_dim"], attends, strict=True):
            if used:
                check_divides(name, "attention_head_dim (the number of heads)", heads, "block_out_channels", [width])
        added = _added(name, values)
        time_dim = values["time_embedding_dim"]
        return cls(
            in_channels=values["in_channels"],
            out_channels=values["out_channels"],
            channels=channels,
            layers=level["layers_per_block"],
            down_attention=tuple(each == DOWN[1] for each in down),
            up_attention=tuple(each == UP[1] for each in up),
            transformer_layers=level["transformer_layers_per_block"],
            heads=level["attention_head_dim"],
            context_dims=level["cross_attention_dim"],
            linear_projection=values["use_linear_projection"],
            upcast_attention=bool(values["upcast_attention"]),
            groups=values["norm_num_groups"],
            eps=values["norm_eps"],
            time_dim=4 * channels[0] if time_dim is None else time_dim,
            flip_sin_to_cos=values["flip_sin_to_cos"],
            freq_shift=values["freq_shift"],
            time_cond_dim=values["time_cond_proj_dim"],
            added=added,
            conv_in_kernel=values["conv_in_kernel"],
            conv_out_kernel=values["conv_out_kernel"],
        )


def _added(name: str, values: Mapping[str, Any]) -> tuple[int, int] | None:
    """The widths of SDXL's conditioning, None for networks without."""
    keys = ("projection_class_embeddings_input_dim", "addition_time_embed_dim")
    if values["addition_embed_type"] is None:
        if values[keys[0]] is not None:
            raise MdiffError(f"{name}: {keys[0]!r} needs 'addition_embed_type' = 'text_time'")
        return None
    for key in keys:
        if values[key] is None:
            raise MdiffError(f"{name}: 'addition_embed_type' = 'text_time' needs the key {key!r}")
    width, size_width = values[keys[0]], values[keys[1]]
    if not 2 <= size_width < width:
        raise MdiffError(f"{name}: {keys[0]!r} = {width} leaves no room for sizes of {keys[1]!r} = {size_width}")
    return width, size_width
