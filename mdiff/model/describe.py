"""From a source to a description, without MindSpore and without reading a weight."""

from importlib.resources import files
from pathlib import Path

from mdiff.errors import MdiffError, nearest
from mdiff.model.description import Description
from mdiff.model.folder import describe_folder
from mdiff.model.source import ModelSource
from mdiff.weights.hub import HubOptions, is_hub_id

BUNDLED = ("emoji",)
_SCHEME = "bundled:"


def describe(source: ModelSource, hub: HubOptions | None = None) -> Description:
    """Find and check the model; MdiffError says what is wrong, in which file, and what would be right.

    Costs a few ms for a folder on disk. Of a Hub id only the small files are downloaded; `Description.fetch` or `load`
    bring the weights.
    """
    hub = HubOptions() if hub is None else hub
    description = _described(source, hub)
    if source.unet is not None or source.vae is not None:
        from mdiff.model.part import with_parts

        description = with_parts(description, hub)
    if not source.loras:
        return description
    from mdiff.model.lora import with_loras

    description = with_loras(description, hub)
    # What is on disk is checked now; the weights of a Hub id come later, and with them this check.
    return description if description.commit is not None else description.fetch()


def _described(source: ModelSource, hub: HubOptions) -> Description:
    if source.path.startswith(_SCHEME):
        return describe_folder(source, bundled(source.path.removeprefix(_SCHEME)))
    path = Path(source.path).expanduser()
    if path.is_dir():
        return describe_folder(source, path)
    if path.is_file():
        from mdiff.model.single_file import describe_file

        return describe_file(source, path, hub)
    if not path.exists() and is_hub_id(source.path):
        from mdiff.model.hub import describe_hub

        return describe_hub(source, hub)
    raise MdiffError(f"model.path is {source.path!r}: there is no such folder, and it is no Hub id such as owner/name")


def bundled(name: str) -> Path:
    """The folder of a model that comes with mdiff."""
    if name not in BUNDLED:
        raise MdiffError(f"no model {name!r} comes with mdiff{nearest(name, BUNDLED)}")
    return Path(str(files("mdiff.model"))) / name
