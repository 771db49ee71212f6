"""A model in the Hugging Face layout: a folder with model_index.json and one folder for each component."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mdiff.errors import MdiffError, nearest
from mdiff.model.description import Component, Description, TokenizerFiles
from mdiff.model.names import usual_names
from mdiff.model.source import ModelSource
from mdiff.nn.config import check_config
from mdiff.weights import Weights, open_weights, variants
from mdiff.weights.files import is_plain_name

INDEX = "model_index.json"
PIPELINES = {
    "StableDiffusionPipeline": "sd",
    "LatentConsistencyModelPipeline": "sd",
    "StableDiffusionXLPipeline": "sdxl",
}
# Component: the classes it may have; what a model of each kind is made of, in the order of use.
_NETWORKS = {
    "text_encoder": ("CLIPTextModel",),
    "text_encoder_2": ("CLIPTextModelWithProjection",),
    "unet": ("UNet2DConditionModel",),
    "vae": ("AutoencoderKL",),
}
_TOKENIZERS = ("CLIPTokenizer", "CLIPTokenizerFast")
_PARTS = {
    "sd": ("tokenizer", "text_encoder", "unet", "vae", "scheduler"),
    "sdxl": ("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2", "unet", "vae", "scheduler"),
}
_WITHOUT_EFFECT = ("safety_checker", "feature_extractor", "image_encoder")
_SETTINGS = ("requires_safety_checker", "force_zeros_for_empty_prompt", "add_watermarker")
AUTO, AUTO_VARIANT = "auto", "fp16"


class WeightStore(Protocol):
    """Where the weight files of components come from."""

    def names(self, part: str) -> list[str]:
        """Names of the files of a component."""

    def open(self, part: str, variant: str | None) -> tuple[Callable[[], Weights], Callable[[], str]]:
        """Return what opens the component's weights, and what tells their digest."""


@dataclass(frozen=True)
class Index:
    """The checked content of model_index.json: `classes` of the components that are there, by name."""

    kind: str
    classes: Mapping[str, str]
    force_zeros_for_empty_prompt: bool


def read_index(folder: Path) -> Index:
    """Read model_index.json; MdiffError where there is none, or where it names what is not supported."""
    path = folder / INDEX
    if not folder.is_dir():
        raise MdiffError(f"model folder {folder} is missing")
    if not path.exists():
        raise MdiffError(_no_index(folder))
    content = read_json(path)
    name = content.get("_class_name")
    if name not in PIPELINES:
        raise MdiffError(f"{path} names the pipeline class {name!r}, which is not supported{nearest(name, PIPELINES)}")
    kind = PIPELINES[name]
    classes = {}
    for part, entry in content.items():
        if part.startswith("_") or part in _SETTINGS:
            continue
        if not is_plain_name(part) or not isinstance(entry, list) or len(entry) != 2:
            raise MdiffError(f"{path} has the entry {part!r}: {entry!r}, which names no component of its folder")
        if entry[1] is None or part in _WITHOUT_EFFECT:
            continue
        if part not in _PARTS[kind]:
            raise MdiffError(f"{path} has the component {part!r} ({entry[1]}), which a {name} here does not support")
        classes[part] = str(entry[1])
    for part in _PARTS[kind]:
        if part not in classes:
            raise MdiffError(f"{path} has no {part!r}, which a {name} needs")
        allowed = _NETWORKS.get(part, _TOKENIZERS if part.startswith("tokenizer") else None)
        if allowed is not None and classes[part] not in allowed:
            raise MdiffError(f"{path}: {part} is a {classes[part]}, supported is {' or '.join(allowed)}")
    return Index(kind, classes, bool(content.get("force_zeros_for_empty_prompt", kind == "sdxl")))


class LocalWeights:
    """The weight files of a folder on disk, opened and checked at once."""

    def __init__(self, folder: Path):
        self.folder = folder

    def names(self, part: str) -> list[str]:
        """Names of the files of a component."""
        return file_names_of(self.folder / part)

    def open(self, part: str, variant: str | None) -> tuple[Callable[[], Weights], Callable[[], str]]:
        """Return what opens the component's weights, and what tells their digest."""
        weights = usual_names(open_weights(self.folder / part, stem(part), variant))
        return lambda: weights, weights.digest


def describe_folder(
    source: ModelSource, folder: Path, commit: str | None = None, store: WeightStore | None = None
) -> Description:
    """Describe a folder on disk; configs are checked key by key, weight files by their headers.

    `store` gives the weight files where they are not (all) in the folder yet.
    """
    index = read_index(folder)
    store = LocalWeights(folder) if store is None else store
    networks = {part: name for part, name in index.classes.items() if part in _NETWORKS}
    configs = {part: read_json(folder / part / "config.json") for part in networks}
    for part, name in networks.items():
        check_component(folder / part, name, configs[part])
    check_fit(folder, index.kind, configs)
    chosen = choose_variants(str(folder), {part: store.names(part) for part in networks}, source.variant)
    components = {
        part: Component(part, networks[part], configs[part], *store.open(part, chosen[part]))
        for part in _PARTS[index.kind]
        if part in networks
    }
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    return Description(
        source=source,
        kind=index.kind,
        folder=folder,
        commit=commit,
        components=components,
        tokenizers=tokenizer_files(folder, configs),
        scheduler_class=index.classes["scheduler"],
        scheduler_config=with_prediction(scheduler, source.prediction_type),
        zero_empty_prompt=index.kind == "sdxl" and index.force_zeros_for_empty_prompt,
    )


def stem(part: str) -> str:
    """What the names of a component's weight files begin with."""
    return "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"


def choose_variants(where: str, names: Mapping[str, list[str]], variant: str | None) -> dict[str, str | None]:
    """The variant of each component: the wanted one, or the plain files of a component that never had another.

    `names` are the files of each component, `where` is for the message where none has the variant.
    """
    if variant is None:
        return dict.fromkeys(names)
    available = {part: variants(files, stem(part)) for part, files in names.items()}
    if variant == AUTO:
        variant = AUTO_VARIANT
    elif not any(variant in found for found in available.values()):
        choices = {name for found in available.values() for name in found if name is not None}
        raise MdiffError(f"no component of {where} has the variant {variant!r}{nearest(variant, choices)}")
    return {part: variant if variant in found else None for part, found in available.items()}


def file_names_of(folder: Path) -> list[str]:
    """Names of a folder's entries; none where there is no folder."""
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def check_component(folder: Path, class_name: str, config: Mapping[str, Any]) -> None:
    """Check a component's config, naming its file."""
    try:
        check_config(class_name, config)
    except MdiffError as error:
        raise MdiffError(f"{folder / 'config.json'}: {error}") from None


def check_fit(folder: Path, kind: str, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Check that the components belong together: widths of text states and latents, SDXL's added embedding."""
    unet, vae = configs["unet"], configs["vae"]
    latents = vae.get("latent_channels", 4)
    for key in ("in_channels", "out_channels"):
        if unet.get(key, 4) != latents:
            raise MdiffError(f"{folder}: the UNet has {key} {unet.get(key, 4)}, the VAE {latents} latent channels")
    texts = {part: config for part, config in configs.items() if part.startswith("text_encoder")}
    width = sum(config.get("hidden_size", 512) for config in texts.values())
    taken = unet.get("cross_attention_dim", 1280)
    if any(each != width for each in (taken if isinstance(taken, list) else [taken])):
        raise MdiffError(f"{folder}: the UNet takes text states of width {taken}, the text encoders give {width}")
    if kind == "sdxl":
        if unet.get("addition_embed_type") != "text_time":
            raise MdiffError(f"{folder}: an SDXL UNet needs addition_embed_type 'text_time'")
        pooled = configs["text_encoder_2"].get("projection_dim", 512)
        wanted, given = unet["projection_class_embeddings_input_dim"], 6 * unet["addition_time_embed_dim"] + pooled
        if wanted != given:
            raise MdiffError(
                f"{folder}: the UNet takes added embeddings of width {wanted}, text_encoder_2 gives {given}"
            )
    elif unet.get("addition_embed_type") is not None:
        raise MdiffError(f"{folder}: the UNet wants added embeddings, which this pipeline class does not give")


def tokenizer_files(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> tuple[TokenizerFiles, ...]:
    """Return the tokenizers of a model folder, one for each text encoder."""
    return tuple(
        tokenizer_folder(folder / part.replace("text_encoder", "tokenizer"), config)
        for part, config in configs.items()
        if part.startswith("text_encoder")
    )


def tokenizer_folder(folder: Path, text_config: Mapping[str, Any]) -> TokenizerFiles:
    """Check that a tokenizer's files are there; its length is what both it and its text encoder take."""
    names = set(file_names_of(folder))
    if not {"vocab.json", "merges.txt"} <= names and "tokenizer.json" not in names:
        raise MdiffError(f"tokenizer {folder} has neither vocab.json with merges.txt nor tokenizer.json")
    config = read_json(folder / "tokenizer_config.json") if "tokenizer_config.json" in names else {}
    positions = text_config.get("max_position_embeddings", 77)
    length = config.get("model_max_length")
    usable = isinstance(length, int) and not isinstance(length, bool) and length > 2
    return TokenizerFiles(folder.name, folder, min(length, positions) if usable else positions)


def with_prediction(scheduler: dict[str, Any], prediction_type: str | None) -> dict[str, Any]:
    """The scheduler's config with the prediction type that the source insists on."""
    return scheduler if prediction_type is None else {**scheduler, "prediction_type": prediction_type}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; MdiffError names the file that is missing, unreadable or none."""
    try:
        content = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        raise MdiffError(f"{path} is missing") from None
    except OSError as error:
        raise MdiffError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise MdiffError(f"{path} holds a {type(content).__name__}, not a JSON object")
    return content


def _no_index(folder: Path) -> str:
    names = file_names_of(folder)
    single = [name for name in names if name.endswith(".safetensors")]
    if "config.json" in names and folder.name in (*_NETWORKS, "scheduler"):
        return f"{folder} is one component of a model; give the folder above it, which has {INDEX}"
    if len(single) == 1:
        return f"{folder} has no {INDEX}; if {single[0]} holds the whole model, give that file as model.path"
    return f"{folder} has no {INDEX}, so it is no model in the Hugging Face layout"
