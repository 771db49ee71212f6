"""Cells are complete or absent, whoever dies when."""

import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from mdiff.errors import MdiffError
from mdiff.run.png import write_png
from mdiff.run.store import Staging, image_name, missing_images, read_record, write_text
from tests.run.test_png import recipe

PIXELS = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)


def put_image(staging: Staging, index: int) -> None:
    write_png(staging.path / image_name(index), PIXELS, recipe("x", PIXELS))


def record(folder, status="complete"):
    images = [{"file": path.name, "bytes": path.stat().st_size} for path in sorted(folder.glob("*.png"))]
    return {"status": status, "fingerprint": "f", "images": images}


def test_a_cell_appears_at_once_and_leaves_nothing_behind(tmp_path):
    staging = Staging(tmp_path / "cell", "key")
    assert staging.claim()
    put_image(staging, 0)
    assert not (tmp_path / "cell").exists()
    staging.publish(record(staging.path))
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["cell", "image_000.png", "record.json"]
    assert read_record(tmp_path / "cell")["status"] == "complete"
    assert missing_images(tmp_path / "cell", read_record(tmp_path / "cell")) == []


def test_one_process_at_a_time(tmp_path):
    first, second = Staging(tmp_path / "cell", "key"), Staging(tmp_path / "cell", "key")
    assert first.claim()
    assert not second.claim()
    put_image(first, 0)
    first.close()
    assert second.claim()
    assert list(second.adopted("f", 3)) == [0], "finished images are taken over"
    assert list(second.adopted("other", 3)) == [], "but not those of another recipe"
    second.close()


def _hold(folder, ready):
    staging = Staging(folder / "cell", "key")
    staging.claim()
    put_image(staging, 1)
    (staging.path / "image_002.png.part").write_bytes(b"half")
    ready.set()
    time.sleep(60)


def test_a_killed_holder_leaves_its_images_and_no_lock(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(30)
    assert not Staging(tmp_path / "cell", "key").claim()
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    staging = Staging(tmp_path / "cell", "key")
    assert staging.claim()
    assert list(staging.adopted("f", 3)) == [1]
    assert not list(staging.path.glob("*.part"))
    staging.publish(record(staging.path))
    assert not (tmp_path / ".mdiff").exists()


def test_a_failed_cell_is_made_again_with_what_it_had(tmp_path):
    staging = Staging(tmp_path / "cell", "key")
    staging.claim()
    put_image(staging, 0)
    staging.publish(record(staging.path, "failed"))
    again = Staging(tmp_path / "cell", "key")
    assert again.claim()
    assert list(again.adopted("f", 2)) == [0]
    put_image(again, 1)
    again.publish(record(again.path))
    assert read_record(tmp_path / "cell")["status"] == "complete"


def test_damage_is_named(tmp_path):
    staging = Staging(tmp_path / "cell", "key")
    staging.claim()
    put_image(staging, 0)
    folder = staging.publish(record(staging.path))
    whole = (folder / "image_000.png").read_bytes()
    (folder / "image_000.png").write_bytes(whole[:-5])
    assert missing_images(folder, read_record(folder)) == ["image_000.png"]
    for text in ("{", "[]", json.dumps({"status": "complete"})):
        (folder / "record.json").write_text(text)
        with pytest.raises(MdiffError, match=r"record\.json is not a record"):
            read_record(folder)
    assert read_record(tmp_path / "nowhere") is None


def test_text_is_whole_or_absent(tmp_path):
    with pytest.raises(MdiffError, match="cannot write"):
        write_text(tmp_path / "absent" / "x", "text")
    write_text(tmp_path / "x", "ünïcode\n")
    assert (tmp_path / "x").read_text(encoding="utf-8") == "ünïcode\n"
    assert len(list(tmp_path.iterdir())) == 1
