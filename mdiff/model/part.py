"""A component from elsewhere in place of the model's own: a distilled UNet, another VAE."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mdiff.errors import MdiffError
from mdiff.model.description import Component, Description
from mdiff.model.find import choose_file, find_file
from mdiff.model.folder import check_component, check_fit, file_names_of, read_json, stem
from mdiff.model.names import usual_names
from mdiff.model.original import VAE_PREFIXES, has_original_unet, has_original_vae, unet_weights, vae_weights
from mdiff.model.source import Part
from mdiff.weights import WeightFiles, Weights, open_weights, read_header, variants
from mdiff.weights.digest import file_digest
from mdiff.weights.hub import HubOptions, Repository, is_hub_id, open_repository


def with_parts(description: Description, hub: HubOptions) -> Description:
    """Return the description with the source's `unet` and `vae` in place of the model's own.

    A folder brings its config.json; a single file takes the place of weights of the same shapes. MdiffError says what
    is missing, what the configs do not support, and what does not fit the other components.
    """
    wanted = {"unet": description.source.unet, "vae": description.source.vae}
    components = {
        name: component if wanted.get(name) is None else _replaced(component, wanted[name], hub)
        for name, component in description.components.items()
    }
    check_fit(description.folder, description.kind, {name: each.config for name, each in components.items()})
    return replace(description, components=components)


def _replaced(component: Component, part: Part, hub: HubOptions) -> Component:
    path = Path(part.path).expanduser()
    if not path.exists() and is_hub_id(part.path):
        return _from_hub(component, part, open_repository(part.path, part.revision, hub))
    if part.file is None and "config.json" in file_names_of(path):
        weights = usual_names(open_weights(path, stem(component.name), part.variant))
        component = replace(component, config=_checked_config(component, path))
    else:
        weights = _opened(component, find_file(_what(component, part), part, hub))
    return replace(component, open=lambda: weights, digest=weights.digest)


def _from_hub(component: Component, part: Part, repository: Repository) -> Component:
    """One file of a repository, or a repository that is the component, with a config at its top; downloaded late."""
    names = list(repository.files)
    if part.file is None and "config.json" in names:
        component = replace(component, config=_checked_config(component, repository.fetch(["config.json"])))
        found = variants([name for name in names if "/" not in name], stem(component.name))
        if part.variant not in found:
            raise MdiffError(f"{_what(component, part)} has no safetensors file of the variant {part.variant!r}")
        name = found[part.variant]
    else:
        name = choose_file(_what(component, part), part.file, names)
    return replace(
        component,
        open=lambda: _opened(component, repository.fetch([name]) / name),
        digest=lambda: repository.files[name].sha256 or file_digest(repository.fetch([name]) / name),
    )


def _checked_config(component: Component, folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    check_component(folder, component.class_name, config)
    return config


def _opened(component: Component, path: Path) -> Weights:
    return _named(component.name, WeightFiles([read_header(path)]))


def _what(component: Component, part: Part) -> str:
    return f"model.{component.name} {part.path}"


def _named(component: str, weights: Weights) -> Weights:
    """The tensors under the usual names, where the file has those of the original code."""
    if component == "unet" and has_original_unet(weights):
        return unet_weights(weights)
    for prefix in VAE_PREFIXES if component == "vae" else ():
        if has_original_vae(weights, prefix):
            return vae_weights(weights, prefix)
    return usual_names(weights)
