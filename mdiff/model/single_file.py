"""A whole model in one safetensors file, as web UIs use it: recognised by its names, configs read off its shapes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError
from mdiff.model import single_config as configs
from mdiff.model.description import Component, Description, TokenizerFiles
from mdiff.model.folder import check_component, check_fit, with_prediction
from mdiff.model.original import UNET, VAE, clip_weights, open_clip_weights, unet_weights, vae_weights
from mdiff.model.source import ModelSource
from mdiff.model.vocabulary import find_vocabulary
from mdiff.weights import WeightFiles, Weights, read_header
from mdiff.weights.hub import HubOptions

# Where the text encoders are: (prefix, whether it is OpenCLIP's layout), in the order in which their states are joined
_ENCODERS = {
    "sd1": (("cond_stage_model.transformer.", False),),
    "sd2": (("cond_stage_model.model.", True),),
    "sdxl": (("conditioner.embedders.0.transformer.", False), ("conditioner.embedders.1.model.", True)),
}
_OTHERS = {
    "joint_blocks": "Stable Diffusion 3",
    "double_blocks": "Flux",
    "transformer_blocks.0.attn1": "a transformer (PixArt or similar)",
}


def describe_file(source: ModelSource, path: Path, hub: HubOptions) -> Description:
    """Describe a single-file checkpoint of Stable Diffusion 1, 2 or XL; MdiffError says what else the file is."""
    header = read_header(path)
    weights = WeightFiles([header])
    family = recognise(path, weights.names)
    kind = "sdxl" if family == "sdxl" else "sd"
    parts = {"unet": unet_weights(weights), "vae": vae_weights(weights)}
    found = {
        "unet": configs.unet_config(parts["unet"], family),
        "vae": configs.vae_config(parts["vae"], family),
    }
    for place, (prefix, open_clip) in enumerate(_ENCODERS[family], 1):
        name = "text_encoder" if place == 1 else f"text_encoder_{place}"
        parts[name] = open_clip_weights(weights, prefix, family) if open_clip else clip_weights(weights, prefix)
        found[name] = configs.text_config(parts[name], open_clip)
    if kind == "sdxl":
        configs.add_time_embedding(found, parts["unet"])
    classes = {name: configs.class_of(name) for name in found}
    for name, config in found.items():
        check_component(path, classes[name], config)
    check_fit(path, kind, found)
    scheduler_class, scheduler = configs.scheduler_config(family, weights.names, header.metadata)
    order = [*sorted(name for name in found if name.startswith("text")), "unet", "vae"]
    return Description(
        source=source,
        kind=kind,
        folder=path,
        commit=None,
        components={
            name: Component(name, classes[name], found[name], _constant(parts[name]), weights.digest) for name in order
        },
        tokenizers=_tokenizers(source, family, found, hub),
        scheduler_class=scheduler_class,
        scheduler_config=with_prediction(scheduler, source.prediction_type),
        zero_empty_prompt=kind == "sdxl",
    )


def recognise(path: Path, names: tuple[str, ...]) -> str:
    """Tell from its names whether a file is ``"sd1"``, ``"sd2"`` or ``"sdxl"``; MdiffError says what it is else."""
    if any("lora_" in name or ".lora" in name for name in names):
        raise MdiffError(f"{path} is a LoRA, not a model: give it in model.loras")
    unet = [name.removeprefix(UNET) for name in names if name.startswith(UNET)]
    for mark, what in _OTHERS.items():
        if any(name.startswith(mark) for name in (unet if unet else names)):
            raise MdiffError(f"{path} is {what}, which is not supported; Stable Diffusion 1, 2 and XL are")
    present = set(names)
    if "conditioner.embedders.0.model.ln_final.weight" in present:
        raise MdiffError(f"{path} is an SDXL refiner, which is not supported; give the base model")
    if unet:
        for family, encoders in _ENCODERS.items():
            if all(any(name.startswith(prefix) for name in names) for prefix, _ in encoders):
                if not any(name.startswith(VAE) for name in names):
                    raise MdiffError(f"{path} has no VAE (no {VAE}…); a whole model is needed")
                return family
        raise MdiffError(f"{path} has a UNet but no text encoder; a whole model is needed")
    if any(name.startswith(("encoder.conv_in", "decoder.conv_in")) for name in names):
        raise MdiffError(f"{path} is a VAE alone; a whole model is needed")
    if any(name.startswith(("down_blocks", "conv_in")) for name in names):
        raise MdiffError(f"{path} is one component of a model; give the folder that has model_index.json")
    raise MdiffError(f"{path} is no checkpoint of Stable Diffusion 1, 2 or XL (no {UNET}… in it)")


def _tokenizers(
    source: ModelSource, family: str, found: Mapping[str, Mapping[str, Any]], hub: HubOptions
) -> tuple[TokenizerFiles, ...]:
    """Such a file holds no vocabulary; all three families use CLIP's, OpenCLIP's encoders padded with "!"."""
    path = find_vocabulary(source, hub)
    tokenizers = []
    for place, (_, open_clip) in enumerate(_ENCODERS[family], 1):
        suffix = "" if place == 1 else f"_{place}"
        length = found[f"text_encoder{suffix}"]["max_position_embeddings"]
        tokenizers.append(TokenizerFiles(f"tokenizer{suffix}", path, length, "!" if open_clip else None))
    return tuple(tokenizers)


def _constant(weights: Weights) -> Callable[[], Weights]:
    return lambda: weights
