"""The `prompt` group: what to draw and what to avoid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError, nearest
from mdiff.prompt.file import read_prompt_file

LONG = ("truncate", "chunk")
_WEIGHTING = {"on": "on", "off": "off", True: "on", False: "off"}  # YAML reads a bare on/off as a truth value


@dataclass(frozen=True)
class Prompts:
    """One prompt or many, each with its negative.

    `text` is a string or a list; `file` (see `read_prompt_file`) takes its place where it is given. `negative` is one
    string for all, or a list with one for each. `weighting` ``"on"`` reads ``(word:1.3)``, ``((word))`` and ``BREAK``,
    ``"off"`` takes the text literally. `long` ``"truncate"`` cuts a prompt at what the text encoder reads at once, with
    a warning; ``"chunk"`` reads all of it in parts. Raises MdiffError for anything else, and where there is no prompt.
    """

    text: str | Sequence[str] | None = None
    negative: str | Sequence[str] | None = ""
    file: str | None = None
    weighting: str = "on"
    long: str = "truncate"

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "weighting", _WEIGHTING[self.weighting])
        except (KeyError, TypeError):
            choices = nearest(self.weighting, ("on", "off"))
            raise MdiffError(f"prompt.weighting is {self.weighting!r}{choices}") from None
        if self.long not in LONG:
            raise MdiffError(f"prompt.long is {self.long!r}{nearest(self.long, LONG)}")
        texts = self._texts()
        negatives = _listed("prompt.negative", "" if self.negative is None else self.negative)
        if isinstance(self.negative, str) or self.negative is None:
            negatives = negatives * len(texts)
        if len(negatives) != len(texts):
            raise MdiffError(
                f"prompt.negative has {len(negatives)} entries for {len(texts)} prompts; give one for each, or one text"
            )
        object.__setattr__(self, "_pairs", tuple(zip(texts, negatives, strict=True)))

    def _texts(self) -> list[str]:
        if self.file is not None:
            if not isinstance(self.file, str) or not self.file:
                raise MdiffError(f"prompt.file is {self.file!r}; it takes a path, or null")
            return _listed(f"prompt file {self.file}", read_prompt_file(self.file))
        if self.text is None:
            raise MdiffError("no prompt is given: set prompt.text or prompt.file")
        texts = _listed("prompt.text", self.text)
        if not texts:
            raise MdiffError("prompt.text is an empty list: give at least one prompt")
        return texts

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every prompt with its negative, in order."""
        return self._pairs  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.pairs())


def _listed(name: str, value: Any) -> list[str]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    for number, text in enumerate(values, 1):
        which = name if len(values) == 1 else f"entry {number} of {name}"
        if not isinstance(text, str):
            raise MdiffError(f"{which} is {text!r}, not text; quote it, as in prompt.text='\"1984\"'")
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise MdiffError(f"{which} is not valid Unicode: {text!r} has half of a surrogate pair")
        if "\0" in text:
            raise MdiffError(f"{which} has a NUL character in it: {text!r}")
    return values
