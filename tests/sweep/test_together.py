"""Several processes at one folder, and signals, for real, with the bundled model."""

import re
import signal

import pytest

from tests.sweep.process import count, ended, mdiff, names, pictures, records, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


def made(out: str) -> int:
    """Cells that the sweep made itself, by its last line."""
    complete, total, kept = re.search(r"(\d+) of (\d+) cells complete(?:, (\d+) of them kept)?", out).groups()
    assert complete == total, out
    return int(complete) - int(kept or 0)


def test_two_sweeps_with_cells_in_common(place):
    one = mdiff(place, "-m", "name=common", "steps=3", "seed=range(0,16)", "engine.batch=2")
    other = mdiff(place, "-m", "name=common", "steps=3", "seed=range(8,24)", "engine.batch=2")
    (status, out, err), (other_status, other_out, other_err) = ended(one), ended(other)
    assert (status, other_status) == (0, 0), err + other_err
    assert made(out) + made(other_out) == 24, "no cell was made twice"
    folder = place / "outputs" / "common"
    assert len(records(folder)) == 24
    assert {record["status"] for record in records(folder).values()} == {"complete"}
    assert not [name for name in names(folder) if ".mdiff" in name or name.endswith(".part")]


def test_a_sweep_that_waits_takes_over_what_the_other_gives_up(place):
    grid = ["-m", "name=taken", "steps=150", "seed=0,1", "engine.batch=2"]
    folder = place / "outputs" / "taken"
    one = mdiff(place, *grid)
    wait_until(lambda: len(list((folder / ".mdiff").glob("*.lock"))) == 2, one)
    other = mdiff(place, *grid)
    said = other.stderr.readline()
    while "waiting" not in said:
        assert said, "it ended without a word"
        said = other.stderr.readline()
    assert said.startswith("mdiff: waiting for another process, which is making 2 cells: seed=0-"), said
    assert count(folder) == 0
    one.kill()
    ended(one)
    status, out, err = ended(other)
    assert status == 0 and made(out) == 2, err
    assert len(pictures(folder)) == 2 and not (folder / ".mdiff").exists()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_the_first_signal_finishes_what_is_in_flight(place, first):
    folder = place / "outputs" / f"first-{first.name}"
    grid = ["-m", f"name={folder.name}", "steps=4", "seed=range(0,40)", "engine.batch=2"]
    process = mdiff(place, *grid)
    wait_until(lambda: count(folder), process)
    process.send_signal(first)
    status, out, err = ended(process)
    cells = len(records(folder))
    assert status == 130, err
    assert f"{cells} of 40 cells complete: {cells} images" in out and 0 < cells < 40
    assert "finishing the images in flight" in err and "the same command again makes what is missing" in err
    assert not (folder / ".mdiff").exists() and count(folder) == cells
    there = pictures(folder)
    status, out, err = ended(mdiff(place, *grid, "seed=range(0,12)"))
    assert status == 0 and there.items() <= pictures(folder).items(), err


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_the_second_signal_stops_at_once(place, second):
    folder = place / "outputs" / f"second-{second.name}"
    process = mdiff(place, "-m", f"name={folder.name}", "steps=900", "seed=0,1", "engine.batch=1")
    wait_until((folder / ".mdiff").is_dir, process)
    process.send_signal(signal.SIGINT)
    said = ""
    while "interrupt again" not in said:
        said = process.stderr.readline()
    process.send_signal(second)
    status, out, _ = ended(process, timeout=60)
    assert status == -second and out == "" and count(folder) == 0, "900 steps were not waited for"


def test_stopped_before_anything_was_made(place):
    """No report of nothing, and the way to go on."""
    folder = place / "outputs" / "early"
    process = mdiff(place, "-m", "name=early", "steps=900", "seed=0,1", "engine.batch=1")
    wait_until(folder.is_dir, process)
    process.send_signal(signal.SIGTERM)
    status, out, err = ended(process)
    assert status == 130 and out.startswith("0 of 2 cells complete"), err
    assert err.splitlines()[-1] == "mdiff: stopped; the same command again makes what is missing"


@pytest.mark.parametrize("after", [0.1, 0.3, 0.5, 0.7])
def test_interrupted_while_it_starts(place, after):
    process = mdiff(place, "-m", "name=start", "steps=900", "seed=range(0,40)")
    with pytest.raises(Exception, match="timed out"):
        process.wait(after)
    process.send_signal(signal.SIGINT)
    status, _, err = ended(process)
    if "KeyboardInterrupt" not in err:  # Python itself was still starting
        assert status == 130 and len(err.splitlines()) <= 3, err
