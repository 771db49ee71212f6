"""Checkpoints with random weights in the sizes that are measured, written by this file alone: no download.

The arithmetic of a network does not depend on what its weights are, as long as activations stay of order one.
"""

import argparse
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

BUNDLED = Path(__file__).resolve().parent.parent / "model" / "emoji"
_BLOCK = 1 << 20  # random values, repeated
_CROSS, _DOWN, _CROSS_UP, _UP = "CrossAttnDownBlock2D", "DownBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"
_CLIP: dict[str, Any] = {
    "architectures": ["CLIPTextModel"],
    "model_type": "clip_text_model",
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "projection_dim": 768,
    "vocab_size": 49408,
}
_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 768,
    "down_block_types": [_CROSS, _CROSS, _CROSS, _DOWN],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 4,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": [_UP, _CROSS_UP, _CROSS_UP, _CROSS_UP],
}
_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "in_channels": 3,
    "latent_channels": 4,
    "layers_per_block": 2,
    "norm_num_groups": 32,
    "out_channels": 3,
    "sample_size": 512,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
_SCHEDULER: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
_INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
_SDXL_INDEX = {
    "_class_name": "StableDiffusionXLPipeline",
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
}
_SDXL_UNET = _UNET | {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": [_DOWN, _CROSS, _CROSS],
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": [_CROSS_UP, _CROSS_UP, _UP],
    "use_linear_projection": True,
}
_OPEN_CLIP = _CLIP | {
    "architectures": ["CLIPTextModelWithProjection"],
    "hidden_act": "gelu",
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "num_hidden_layers": 32,
    "projection_dim": 1280,
}
# What a folder of each size holds: whole models, or a UNet alone where nothing else is measured.
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {  # for tests of the benchmarks themselves
        "text_encoder": _CLIP
        | {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2},
        "unet": _UNET
        | {
            "attention_head_dim": 4,
            "block_out_channels": [32, 64],
            "cross_attention_dim": 32,
            "down_block_types": [_CROSS, _DOWN],
            "layers_per_block": 1,
            "norm_num_groups": 8,
            "sample_size": 8,
            "up_block_types": [_UP, _CROSS_UP],
        },
        "vae": _VAE
        | {"block_out_channels": [8, 8, 16, 16], "layers_per_block": 1, "norm_num_groups": 4, "sample_size": 64},
    },
    "220m": {"unet": _UNET | {"block_out_channels": [160, 320, 640, 640], "sample_size": 32}},
    "sd15": {"text_encoder": _CLIP, "unet": _UNET, "vae": _VAE},
    "sdxl": {"text_encoder": _CLIP, "text_encoder_2": _OPEN_CLIP, "unet": _SDXL_UNET, "vae": _VAE},
}
STEMS = {
    "text_encoder": "model",
    "text_encoder_2": "model",
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
}


def make(size: str, folder: Path) -> Path:
    """Write the checkpoint of a size, in float16, to `folder` unless it is there already; return the folder.

    Imports MindSpore: the names and shapes of the tensors are those of mdiff's own cells.
    """
    if (folder / "made.json").is_file():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    components = SIZES[size]
    for name, config in components.items():
        (folder / name).mkdir(parents=True)
        _write_json(folder / name / "config.json", config)
        _write_weights(folder / name / f"{STEMS[name]}.safetensors", _shapes(config))
    if "text_encoder" in components:
        for name in [name for name in components if name.startswith("text_encoder")]:
            _write_tokenizer(folder / name.replace("text_encoder", "tokenizer"))
        (folder / "scheduler").mkdir()
        _write_json(folder / "scheduler" / "scheduler_config.json", _SCHEDULER)
        _write_json(folder / "model_index.json", _INDEX | (_SDXL_INDEX if "text_encoder_2" in components else {}))
    _write_json(folder / "made.json", {"size": size, "parameters": _count(components)})
    return folder


def _write_tokenizer(folder: Path) -> None:
    """The bundled model's vocabulary, with CLIP's length: the ids of either are tokens of the text encoder."""
    shutil.copytree(BUNDLED / "tokenizer", folder)
    path = folder / "tokenizer_config.json"
    _write_json(path, json.loads(path.read_text()) | {"model_max_length": _CLIP["max_position_embeddings"]})


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a component as {name: shape}."""
    from mdiff import device as devices
    from mdiff import nn

    device = devices.choose("cpu")
    devices.activate(device)
    cell = getattr(nn, class_of(config))(config, devices.kernels(device, devices.resolve_precision("fp32", device)))
    return {name: tuple(parameter.shape) for name, parameter in nn.renames(cell).items()}


def class_of(config: Mapping[str, Any]) -> str:
    """The class of a component, as diffusers or transformers writes it into its config."""
    return config["_class_name"] if "_class_name" in config else config["architectures"][0]


def _count(components: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(map(math.prod, _shapes(config).values())) for name, config in components.items()}


def _write_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, shape in shapes.items():
        end = begin + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = np.random.default_rng(0).standard_normal(_BLOCK, dtype=np.float32)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():  # biases about 0, the weights of norms about 1
            scale = 0.05 if len(shape) == 1 else 1 / math.sqrt(math.prod(shape[1:]))
            values = (block * np.float32(scale) + np.float32(len(shape) == 1 and name.endswith("weight"))).astype("<f2")
            for done in range(0, math.prod(shape), _BLOCK):
                file.write(values[: math.prod(shape) - done].data)


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """``python -m mdiff.bench.size SIZE FOLDER``: write a checkpoint, in a process of its own."""
    parser = argparse.ArgumentParser(prog="python -m mdiff.bench.size", description=__doc__)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(make(options.size, options.folder))


if __name__ == "__main__":
    main()
