"""The keys of AutoencoderKL."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError
from mdiff.nn.key import Key, check_divides, checked, count, counts, fixed, flag, inert, is_list, names, number, one_of

VAE: dict[str, Key] = {
    "in_channels": count(3),
    "out_channels": count(3),
    "down_block_types": names(("DownEncoderBlock2D",), ("DownEncoderBlock2D",)),
    "up_block_types": names(("UpDecoderBlock2D",), ("UpDecoderBlock2D",)),
    "block_out_channels": counts((64,)),
    "layers_per_block": count(1),
    "act_fn": one_of("silu", "swish"),
    "latent_channels": count(4),
    "norm_num_groups": count(32),
    "sample_size": inert(32),
    # Applied to the latents by whoever holds them, not by the network
    "scaling_factor": number(0.18215),
    "shift_factor": number(None),
    "latents_mean": fixed(None),
    "latents_std": fixed(None),
    "force_upcast": flag(True),
    "use_quant_conv": flag(True),
    "use_post_quant_conv": flag(True),
    "mid_block_add_attention": flag(True),
}


@dataclass(frozen=True)
class VAEConfig:
    """The checked form; `channels` from the finest level (pixels) to the coarsest (latents)."""

    in_channels: int
    out_channels: int
    channels: tuple[int, ...]
    layers: int
    latent_channels: int
    groups: int
    quant_conv: bool
    post_quant_conv: bool
    mid_attention: bool

    @classmethod
    def parse(cls, config: Mapping[str, Any], name: str = "AutoencoderKL") -> "VAEConfig":
        """Check every key, then what depends on more than one."""
        values = checked(name, VAE, config)
        channels = values["block_out_channels"]
        if not is_list(channels):
            raise MdiffError(f"{name}: config key 'block_out_channels' must be a list, one width for each level")
        for key in ("down_block_types", "up_block_types"):
            if len(values[key]) != len(channels):
                raise MdiffError(
                    f"{name}: {key!r} has {len(values[key])} entries, 'block_out_channels' {len(channels)}"
                )
        check_divides(name, "norm_num_groups", values["norm_num_groups"], "block_out_channels", channels)
        return cls(
            in_channels=values["in_channels"],
            out_channels=values["out_channels"],
            channels=tuple(channels),
            layers=values["layers_per_block"],
            latent_channels=values["latent_channels"],
            groups=values["norm_num_groups"],
            quant_conv=values["use_quant_conv"],
            post_quant_conv=values["use_post_quant_conv"],
            mid_attention=values["mid_block_add_attention"],
        )
