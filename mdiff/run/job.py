"""The validated description of one cell: plain values only, everything that affects its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mdiff.model import DEFAULT_MEMORY, STAGES, Memory


@dataclass(frozen=True)
class PromptPair:
    """What an image should show, and what it should not."""

    text: str
    negative: str


@dataclass(frozen=True)
class Job:
    """One cell of a sweep, or a single run; made by the config layer, consumed by `run_jobs`.

    `width` and `height` are pixels. `seed` belongs to the first image of each prompt; image i of a prompt uses
    `seed + i`. `weighting` "on" reads brackets in prompts as emphasis; `long` "chunk" reads prompts of any length in
    parts, "truncate" cuts them with a warning. `guidance_interval` holds the fractions of the steps between which
    images are guided. `keep` names the parts of the model that stay loaded between cells; `on_oom` and `on_nan` what is
    tried, in this order, where memory is not enough and where the VAE overflows. `scheduler_target` is None where the
    checkpoint's own scheduler is kept. `profile` asks for where the time went. `requested` is the resolved config as
    plain containers (JSON), `varies` the part of it that tells this cell from its neighbours.
    """

    folder: Path
    requested: Mapping[str, Any]
    model: Any  # mdiff.model.ModelSource
    scheduler_target: str | None
    scheduler_options: Mapping[str, Any]
    precision: str
    device: str
    device_id: int | str
    prompts: tuple[PromptPair, ...]
    steps: int
    guidance: float
    seed: int
    num_images: int
    width: int
    height: int
    batch: int | str
    resume: bool = True
    on_error: str = "continue"
    weighting: str = "on"
    long: str = "truncate"
    guidance_rescale: float = 0.0
    guidance_interval: tuple[float, float] | None = None
    memory: Memory = DEFAULT_MEMORY
    keep: tuple[str, ...] = STAGES
    on_oom: tuple[str, ...] = ()
    on_nan: tuple[str, ...] = ()
    profile: bool = False
    varies: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0
