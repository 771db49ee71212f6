"""mdiff: declarative, config-driven image generation on MindSpore.

`DiffusionPipeline`, `Generator`, every scheduler class and the few names that come with them are imported when they
are first asked for, so that ``import mdiff`` costs nothing.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {"Generator": "mdiff.noise", "MdiffError": "mdiff.errors"}
_PIPELINES = ("DiffusionPipeline", "StableDiffusionPipeline", "StableDiffusionXLPipeline")
_HOMES |= dict.fromkeys((*_PIPELINES, "AutoencoderKL", "make_image_grid"), "mdiff.pipeline")


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None and name.endswith("Scheduler"):
        home = "mdiff.scheduler"
    module = importlib.import_module(home) if home is not None else None
    if module is None or not hasattr(module, name):
        raise AttributeError(f"module 'mdiff' has no attribute {name!r}")
    return getattr(module, name)


def __dir__() -> list[str]:
    from mdiff.scheduler import SCHEDULERS

    return sorted([*_HOMES, *SCHEDULERS, "__version__"])
