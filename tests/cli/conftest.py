"""The command line, run in this process from an empty folder."""

import logging
from dataclasses import dataclass
from pathlib import Path

import pytest

from mdiff.__main__ import main


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str
    written: tuple[str, ...]


@pytest.fixture
def mdiff(tmp_path, monkeypatch, capsys):
    """Call `mdiff("steps=3", ...)`; returns status, output and every file or folder that it left."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Said:
        before, handlers = _files(tmp_path), logging.root.handlers[:]
        capsys.readouterr()
        status = main(list(words))
        logging.root.handlers[:] = handlers  # --info has Hydra log to the stdout of the moment
        said = capsys.readouterr()
        return Said(status, said.out, said.err, tuple(sorted(_files(tmp_path) - before)))

    return call


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
