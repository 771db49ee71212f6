"""The parts of a model as stages that take and give arrays: loaded when needed, let go when told."""

import gc
import json
from collections.abc import Sequence
from typing import Any

from mdiff.device.collection import paused_collection
from mdiff.model import STAGES, open_model
from mdiff.pipeline.clock import Clock
from mdiff.pipeline.network import Compiled, Denoiser
from mdiff.pipeline.tile import TiledDecoder


class Parts:
    """The text encoders, the UNet and the VAE of one model; `sliced` asks for attention that saves memory."""

    def __init__(self, description: Any, device: Any, precision: Any, sliced: bool, clock: Clock):
        self._description, self._device, self._precision = description, device, precision
        self._sliced, self._clock = sliced, clock
        self._made: dict[str, dict[Any, Any]] = {stage: {} for stage in STAGES}
        self.model = open_model(description, device, precision, sliced)

    def encoders(self) -> list[Compiled]:
        """The text encoders, in the order in which their states are joined."""
        return [self._part("text_encoders", part.name) for part in self._description.text_encoders]

    def denoiser(self) -> Denoiser:
        """The UNet as the engine's network."""
        made = self._made["unet"]
        if not made:
            made["unet"] = Denoiser(self._network("unet"), self.identity("unet"))
        return made["unet"]

    def decoder(self, tiled: bool, number: str | None = None) -> Any:
        """The VAE's decoder, at once or in tiles; `number` is another format than the one chosen for it."""
        made = self._made["vae"]
        if (tiled, number) not in made:
            vae = self._network("vae", number)
            made[tiled, number] = TiledDecoder(vae) if tiled else Compiled(vae, self.identity("vae", number), "decode")
        return made[tiled, number]

    def load(self) -> None:
        """Load every part, the VAE too although nothing is decoded yet."""
        with self._clock.stage("load"), paused_collection():
            self.model.load(self._description.components)
        self.encoders()
        self.denoiser()
        self.decoder(tiled=False)

    def loaded(self, stage: str) -> bool:
        """Whether a part is in memory."""
        return bool(self._made[stage])

    def release(self, stages: Sequence[str]) -> None:
        """Let parts go, with what was compiled of them."""
        for stage in stages:
            self._made[stage].clear()
            for name in self._description.components:
                if name == stage or (stage == "text_encoders" and name.startswith("text_encoder")):
                    self.model.release(name)

    def exchange(self, component: str, description: Any, precision: Any) -> None:
        """Let a component go, and take it from `description` when it is next needed."""
        self.release((component,))
        self._description, self._precision = description, precision
        self.model.exchange(description, precision)

    def restart(self) -> None:
        """Drop what was compiled, networks stay: after a call that failed, MindSpore refuses that graph for good."""
        for made in self._made.values():
            made.clear()
        gc.collect()  # cells refer to themselves, and hold the memory of the call that failed

    def identity(self, component: str, number: str | None = None) -> str:
        """All that decides a component's graph but the shapes; rounded weights are still weights."""
        if number is None:
            number = self._precision.vae if component == "vae" else self._precision.compute
        config = json.dumps(dict(self._description.components[component].config), sort_keys=True)
        attention = " sliced" if self._sliced else ""
        return f"{component} {number}{attention} on {self._device.kind} {config}"

    def _part(self, stage: str, name: str) -> Compiled:
        made = self._made[stage]
        if name not in made:
            made[name] = Compiled(self._network(name), self.identity(name))
        return made[name]

    def _network(self, name: str, number: str | None = None) -> Any:
        with self._clock.stage("load"), paused_collection():
            return self.model.network(name, number)
