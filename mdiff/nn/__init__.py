"""Network cells under the checkpoint's own names.

Importing the package imports no MindSpore; asking it for a network does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mdiff.nn.config import check_config, parse_config
from mdiff.nn.guidance import guidance_embedding

if TYPE_CHECKING:
    from mdiff.nn.checkpoint import ignored, renames
    from mdiff.nn.clip import CLIPTextModel, CLIPTextModelWithProjection
    from mdiff.nn.unet import UNet2DConditionModel
    from mdiff.nn.vae import AutoencoderKL

_LATER = {
    "AutoencoderKL": "mdiff.nn.vae",
    "CLIPTextModel": "mdiff.nn.clip",
    "CLIPTextModelWithProjection": "mdiff.nn.clip",
    "UNet2DConditionModel": "mdiff.nn.unet",
    "ignored": "mdiff.nn.checkpoint",
    "renames": "mdiff.nn.checkpoint",
}

__all__ = [
    "AutoencoderKL",
    "CLIPTextModel",
    "CLIPTextModelWithProjection",
    "UNet2DConditionModel",
    "check_config",
    "guidance_embedding",
    "ignored",
    "parse_config",
    "renames",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'mdiff.nn' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
