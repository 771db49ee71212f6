"""A disk that fills up, a folder that cannot be written, damage from outside: named, nothing lost, gone on after."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.sweep.process import count, ended, mdiff, names, pictures, pixels, records

pytestmark = pytest.mark.slow

GRID = ["-m", "steps=2", "seed=range(0,12)", "engine.batch=2"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("disk")


@pytest.fixture
def disk(place):
    """A file system of 160 KiB, enough for some of the cells, at outputs/disk."""
    folder = place / "outputs" / "disk"
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def turn_read_only(folder: Path, aside: Path) -> None:
    """Cover `folder` with a read-only view of itself, made ready `aside`, until it is unmounted.

    A remount would be refused while a file is open for writing, as locks of cells being made are.
    """
    aside.mkdir()
    subprocess.run(["mount", "--make-private", folder], check=True)  # or the view would cover, and leave, both at once
    subprocess.run(["mount", "--bind", folder, aside], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", aside], check=True)
    subprocess.run(["mount", "--bind", aside, folder], check=True)
    subprocess.run(["umount", aside], check=True)


def check_whole(folder: Path, cells: int) -> None:
    found = records(folder)
    assert len(found) == cells and {record["status"] for record in found.values()} == {"complete"}
    assert len(pixels(folder)) == cells, "every picture can be read"
    assert not [name for name in names(folder) if ".mdiff" in name or name.endswith(".part")]


def test_a_disk_that_fills_up_in_the_middle(place, disk):
    status, out, err = ended(mdiff(place, *GRID, "name=disk"))
    assert status == 1 and out == ""
    (sentence,) = (line for line in err.splitlines() if "No space left on device" in line)
    assert sentence.startswith("mdiff: cannot write outputs/disk/") and "the same command again" in sentence
    complete = {name: record for name, record in records(disk).items() if record["status"] == "complete"}
    assert 0 < len(complete) < 12, "it filled up in the middle"
    assert all(len(list((disk / name).glob("*.png"))) == len(record["images"]) for name, record in complete.items())
    assert not list(disk.rglob("*.part"))
    there = pictures(disk)

    status, _, err = ended(mdiff(place, *GRID, "name=disk"))
    assert status == 1 and "No space left on device" in err, "no room yet"
    assert there.items() <= pictures(disk).items()

    remount(disk, "size=8m")
    status, out, err = ended(mdiff(place, *GRID, "name=disk"))
    assert status == 0 and "12 of 12 cells complete" in out, err
    assert there.items() <= pictures(disk).items(), "what was made is neither lost nor made again"
    check_whole(disk, 12)


def test_a_folder_that_cannot_be_written(place, disk):
    remount(disk, "size=8m")
    assert ended(mdiff(place, *GRID, "seed=0,1", "name=disk"))[0] == 0
    there = names(disk)
    remount(disk, "ro")
    status, out, err = ended(mdiff(place, *GRID, "name=disk"))
    assert (status, out) == (1, "")
    assert err.splitlines() == [
        f"mdiff: cannot write results to {disk}: {disk} is not writable; choose another with output.dir="
    ]
    assert names(disk) == there
    remount(disk, "rw")
    status, out, err = ended(mdiff(place, *GRID, "name=disk"))
    assert status == 0 and "12 of 12 cells complete, 2 of them kept" in out, err
    check_whole(disk, 12)


def test_a_disk_that_turns_read_only_in_the_middle(place, disk):
    remount(disk, "size=16m")
    process = mdiff(place, *GRID, "seed=range(0,60)", "name=disk")
    while count(disk) < 4:
        assert process.poll() is None
    turn_read_only(disk, place / "disk1")
    status, _, err = ended(process)
    assert status == 1 and "Read-only file system" in err.splitlines()[-1], err
    subprocess.run(["umount", disk], check=True)
    there = pictures(disk)
    assert 0 < len(there) < 60
    status, _, err = ended(mdiff(place, *GRID, "seed=range(0,60)", "name=disk"))
    assert status == 0 and there.items() <= pictures(disk).items(), err
    check_whole(disk, 60)


def test_damage_from_outside(place):
    """A corrupt record, a half-written picture, in cells that were complete: each fails its cell alone, and nothing of
    the cell is touched before it is removed."""
    folder = place / "outputs" / "damage"
    assert ended(mdiff(place, *GRID, "name=damage"))[0] == 0
    before = pixels(folder)
    first, second, third, fourth = sorted(folder.glob("seed=*"))[:4]
    (first / "record.json").write_text(json.dumps({"status": "complete"}))
    (second / "record.json").write_bytes((second / "record.json").read_bytes()[:100])
    picture = (third / "image_000.png").read_bytes()
    (third / "image_000.png").write_bytes(picture[: len(picture) // 2])
    (fourth / "image_000.png").unlink()
    damaged = {path: path.read_bytes() for each in (first, second, third) for path in each.iterdir()}
    status, out, err = ended(mdiff(place, *GRID, "seed=range(0,13)", "name=damage"))
    assert status == 1
    assert "9 of 13 cells complete, 8 of them kept from before" in out and "4 of 13 cells failed" in err
    for path in (first / "record.json", second / "record.json"):
        assert f"{path.relative_to(place)} is not a record" in err
    for cell in (third, fourth):
        assert f"{cell.relative_to(place)} is recorded as complete, but image_000.png is missing or damaged" in err
    assert {path: path.read_bytes() for path in damaged} == damaged

    for cell in (first, second, third, fourth):  # as the sentences say
        if cell in (first, second):
            (cell / "record.json").unlink()
        else:
            subprocess.run(["rm", "-r", cell], check=True)
    status, out, err = ended(mdiff(place, *GRID, "seed=range(0,13)", "name=damage"))
    assert status == 0 and "13 of 13 cells complete, 9 of them kept" in out, err
    check_whole(folder, 13)
    after = pixels(folder)
    assert all(abs(after[name].astype(int) - before[name]).max() <= 1 for name in before)


def test_a_half_written_picture_in_a_cell_that_was_being_made(place):
    """What a killed process, or another hand, left staged is looked at before it counts."""
    folder = place / "outputs" / "staged"
    grid = ["-m", "steps=2", "num_images=24", "engine.batch=1", "name=staged"]
    process = mdiff(place, *grid)
    while count(folder) < 3:
        assert process.poll() is None
    process.kill()
    ended(process)
    staged = sorted((folder / ".mdiff").glob("*/*.png"))
    staged[0].write_bytes(staged[0].read_bytes()[:300])
    there = pictures(folder)
    broken = f"{staged[0].parent.name}/{staged[0].name}"
    status, out, err = ended(mdiff(place, *grid))
    assert status == 0 and "1 of 1 cells complete: 24 images" in out, err
    after = pictures(folder)
    assert after.pop(broken) != there.pop(broken), "the broken one is made again"
    assert there.items() <= after.items()
    assert len(pixels(folder)) == 24
