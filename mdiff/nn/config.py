"""What a component's config.json may say, checked key by key without MindSpore.

A network is built from the checked form only, so a key that would change the arithmetic in a way that these cells do
not follow can never be passed over in silence.
"""

from collections.abc import Mapping
from typing import Any

from mdiff.errors import MdiffError, nearest
from mdiff.nn.clip_config import CLIPTextConfig
from mdiff.nn.unet_config import UNetConfig
from mdiff.nn.vae_config import VAEConfig

COMPONENTS: dict[str, type[CLIPTextConfig | UNetConfig | VAEConfig]] = {
    "CLIPTextModel": CLIPTextConfig,
    "CLIPTextModelWithProjection": CLIPTextConfig,
    "UNet2DConditionModel": UNetConfig,
    "AutoencoderKL": VAEConfig,
}


def parse_config(class_name: str, config: Mapping[str, Any]) -> CLIPTextConfig | UNetConfig | VAEConfig:
    """Return the checked form of a component's config.json; MdiffError names a class, key or value beyond the cells."""
    if class_name not in COMPONENTS:
        raise MdiffError(f"component class {class_name!r} is not supported{nearest(class_name, COMPONENTS)}")
    return COMPONENTS[class_name].parse(config, class_name)


def check_config(class_name: str, config: Mapping[str, Any]) -> None:
    """Raise an MdiffError that names the first key, type or value of `config` which the cells do not support."""
    parse_config(class_name, config)
