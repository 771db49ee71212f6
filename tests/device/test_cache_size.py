"""The compile cache stays within its bounds and touches nothing but its own folders."""

import os
import time

import pytest

from mdiff.device import compile_cache
from mdiff.device.compile_cache import CompileCache


@pytest.fixture
def folders(tmp_path):
    """Six folders of 1000 bytes, the first used longest ago, beside what is not the cache's."""
    made = []
    for number in range(6):
        folder = tmp_path / f"{number:024x}"
        (folder / "rank_0").mkdir(parents=True)
        (folder / "rank_0" / "graph").write_bytes(bytes(1000))
        used = time.time() - 1000 + number
        os.utime(folder, (used, used))
        made.append(folder)
    (tmp_path / "holiday pictures").mkdir()
    os.utime(tmp_path / "holiday pictures", (0, 0))
    (tmp_path / "notes.txt").write_text("mine")
    return made


def kept(folders):
    assert (folders[0].parent / "holiday pictures").is_dir()
    assert (folders[0].parent / "notes.txt").read_text() == "mine"
    return [place for place, folder in enumerate(folders) if folder.exists()]


def test_within_its_bounds_nothing_goes(folders, tmp_path):
    CompileCache(tmp_path)._prune()
    assert kept(folders) == [0, 1, 2, 3, 4, 5]


def test_the_longest_unused_go_beyond_the_number(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "KEPT_FOLDERS", 2)
    CompileCache(tmp_path)._prune()
    assert kept(folders) == [4, 5]


def test_the_longest_unused_go_beyond_the_bytes(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "KEPT_BYTES", 3500)
    CompileCache(tmp_path)._prune()
    assert kept(folders) == [3, 4, 5]


def test_what_was_just_opened_stays(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "KEPT_BYTES", 10)
    for folder in folders[:2]:
        os.utime(folder)
    CompileCache(tmp_path)._prune()
    assert kept(folders) == [0, 1]


def test_a_graph_that_was_deleted_is_told_as_damage(tmp_path):
    cache = CompileCache(tmp_path)
    cache._open("net")
    folder = cache._folder
    (folder / "manifest.json").write_text('[{"key": "net", "sha256": "0"}]')
    with pytest.warns(UserWarning, match="is damaged or not mdiff's; compiling anew"):
        CompileCache(tmp_path)._open("net")
    assert not (folder / "manifest.json").exists()
