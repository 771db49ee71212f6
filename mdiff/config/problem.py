"""Mistakes in a config, gathered so that all of them are told at once."""

import contextlib
from collections.abc import Iterator, Sequence

from mdiff.errors import MdiffError


class ConfigError(MdiffError):
    """One or more mistakes in a config; `problems` holds a sentence for each."""

    def __init__(self, problems: Sequence[str]):
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Problems:
    """Collects the mistakes of several checks, so that the first one does not hide the others."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Note one mistake; the same sentence counts once."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)

    @contextlib.contextmanager
    def gather(self) -> Iterator[None]:
        """Run a check; what it raises is noted instead."""
        try:
            yield
        except ConfigError as error:
            for sentence in error.problems:
                self.add(sentence)
        except MdiffError as error:
            self.add(str(error))

    def raise_any(self) -> None:
        """Raise everything noted so far, if anything was."""
        if self.sentences:
            raise ConfigError(self.sentences)
