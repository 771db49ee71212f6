"""`kill -9` at random moments of a sweep with the bundled model; the same command again goes on as if nothing was."""

import itertools
import random
import re
import time

import numpy as np
import pytest

from tests.sweep.process import count, ended, mdiff, names, pictures, pixels, records, wait_until

pytestmark = pytest.mark.slow

GRID = ["-m", "steps=2,3", "seed=range(0,12)", "num_images=2"]
CELLS, IMAGES = 24, 48


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("kill")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}


def comparable_names(folder, apart):
    """Every name in a sweep's folder; a thumbnail is named by its picture's bytes, which tell nothing where they may
    differ."""
    return sorted(re.sub(r"/[0-9a-f]{40}-", "/any-", name) if apart else name for name in names(folder))


@pytest.mark.parametrize(("batch", "kills", "apart"), [(1, 20, 0), (4, 5, 1)], ids=["strict", "batched"])
def test_killed_at_random_moments_it_ends_as_if_undisturbed(place, cache, batch, kills, apart):
    """In a shared call an image's rounding depends on its row, and a killed sweep packs anew: only the strict mode
    gives the very same pixels."""
    grid = [*GRID, f"engine.batch={batch}"]
    undisturbed, folder = place / "outputs" / f"whole{batch}", place / "outputs" / f"killed{batch}"
    status, _, err = ended(mdiff(place, *grid, f"name={undisturbed.name}", **cache))
    assert status == 0, err
    times = sorted(when for _, when in pictures(undisturbed).values())
    image_s = float(np.median([after - before for before, after in itertools.pairwise(times)])) / 1e9 * batch

    draw = random.Random(20)
    made = {}
    for _ in range(kills):
        process = mdiff(place, *grid, f"name={folder.name}", **cache)
        began, before = time.monotonic(), count(folder)
        moment = draw.choice(["any", "claimed", "made", "made"])
        if moment == "claimed":
            wait_until((folder / ".mdiff").is_dir, process)
        elif moment == "made":
            wait_until(lambda before=before: count(folder) > before, process)
        time.sleep(draw.random() * (5.0 if moment == "any" else 3 * image_s))
        process.kill()
        _, out, err = ended(process)
        assert process.returncode == -9, f"it was over after {time.monotonic() - began:.1f} s: {out} {err}"
        there = pictures(folder)
        assert made.items() <= there.items(), "what was made is neither lost nor made again"
        made = there

    assert len(made) < IMAGES
    status, out, err = ended(mdiff(place, *grid, f"name={folder.name}", **cache))
    assert status == 0 and f"{CELLS} of {CELLS} cells complete" in out, err
    assert made.items() <= pictures(folder).items()
    assert len(pictures(folder)) == IMAGES
    assert comparable_names(folder, apart) == comparable_names(undisturbed, apart), "no temporary file, nothing missing"
    assert {record["status"] for record in records(folder).values()} == {"complete"}
    ours, theirs = pixels(folder), pixels(undisturbed)
    assert len(ours) == IMAGES and ours.keys() == theirs.keys()
    assert max(np.abs(ours[name].astype(int) - theirs[name]).max() for name in ours) <= apart
