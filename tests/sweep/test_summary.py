"""The last lines of a sweep and its exit status."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from mdiff.sweep.interrupt import Interrupt
from mdiff.sweep.session import Session
from mdiff.sweep.summary import tell

DONE = {"images": [{}, {}]}


def outcome(status, error=None, **varies):
    record = DONE if status in ("complete", "kept") else None
    job, folder = SimpleNamespace(varies=varies), Path("outputs/x/seed=1-12345678")
    return SimpleNamespace(status=status, error=error, job=job, record=record, folder=folder)


def session(*outcomes, asked=False, failures=()):
    interrupt = Interrupt()
    if asked:
        interrupt._asked.set()
    return Session(interrupt, list(outcomes), Path("outputs/x"), list(failures))


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (session(outcome("complete"), outcome("kept")), 0),
        (session(outcome("complete"), outcome("failed", "why")), 1),
        (session(outcome("complete"), outcome("busy")), 1),
        (session(outcome("complete"), outcome("pending")), 1),
        (session(outcome("complete"), outcome("pending"), asked=True), 130),
        (session(outcome("complete"), asked=True), 0),
        (session(outcome("complete"), failures=["a worker died"]), 1),
    ],
)
def test_status(made, status, capsys):
    assert tell(made, dry_run=False) == status
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].endswith("images in outputs/x")
    assert bool(said.err) is (status != 0)


def test_failures_are_told_once_for_each_reason(capsys):
    cells = [outcome("failed", "no space left\nmore", seed=seed) for seed in range(30)]
    tell(session(*cells, outcome("failed", "NaN in the latents", seed=99), outcome("complete")), dry_run=False)
    said = capsys.readouterr()
    assert said.out == "1 of 32 cells complete: 2 images in outputs/x\n"
    assert "mdiff:   seed=0 (and 29 more): no space left\n" in said.err
    assert "mdiff:   seed=99: NaN in the latents\n" in said.err
    assert "more\n" not in said.err.replace("(and 29 more)", "")
    assert said.err.splitlines()[-1].startswith("mdiff: the same command again")


def test_cells_of_another_process_are_named(capsys):
    tell(session(outcome("complete"), *[outcome("busy")] * 7), dry_run=False)
    told = capsys.readouterr().err
    assert "another process is making 7 cells: seed=1-12345678, seed=1-12345678" in told and "and 2 more" in told
