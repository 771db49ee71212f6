"""What is tried in place of failing where memory is not enough: the config says what, and in which order."""

from dataclasses import replace

from mdiff.model import Memory


class Fallbacks:
    """The fallbacks of some cells: `memory` and `batch` (images in a network call) as they are after those tried.

    `stamps` says of each that was tried, in a sentence, what it changed.
    """

    def __init__(self, names: tuple[str, ...], memory: Memory, batch: int):
        self._names, self._left = names, list(names)
        self.memory, self.batch = memory, batch
        self.stamps: list[str] = []

    def next(self) -> bool:
        """Change what comes next in the order given and can still be changed; False where nothing is left."""
        while self._left:
            name = self._left[0]
            sentence = self._change(name)
            if name != "halve_batch" or sentence is None:  # a batch may be halved again
                self._left.pop(0)
            if sentence is not None:
                self.stamps.append(f"on_oom {name}: memory was not enough, so {sentence}")
                return True
        return False

    def _change(self, name: str) -> str | None:
        """Apply one fallback; None where it is in effect already and so changes nothing."""
        if name == "vae_tiling" and self.memory.vae_tiling is not True:
            self.memory = replace(self.memory, vae_tiling=True)
            return "the VAE decodes in tiles"
        if name == "attention_slicing" and not self.memory.attention_slicing:
            self.memory = replace(self.memory, attention_slicing=True)
            return "attention takes fewer queries at a time"
        if name == "halve_batch" and self.batch > 1:
            before, self.batch = self.batch, self.batch // 2
            return f"a network call has {self.batch} images at most, not {before}"
        return None

    def hint(self) -> str:
        """What a user can do about memory that is not enough."""
        if not self._names:
            return (
                "use a smaller size, engine.batch=1 or memory=low, "
                "or let mdiff try: on_oom=[vae_tiling,attention_slicing,halve_batch]"
            )
        tried = f"after on_oom=[{','.join(self._names)}]" if self.stamps else "and on_oom had nothing left to change"
        return f"{tried}; use a smaller size or memory=low with model.keep=none"
