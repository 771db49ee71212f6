"""The size of a network call: no row in vain, measured only where it pays, remembered, and whole or absent."""

import json
import random

import pytest

from mdiff.device import Device
from mdiff.pipeline.batch import (
    REMEMBERED,
    SHARE,
    BatchMemory,
    Trial,
    automatic_batch,
    best_batch,
    explore,
    network_calls,
)

FLAT = {1: 0.14, 2: 0.10, 4: 0.08, 8: 0.07, 16: 0.07, 32: 0.09}
STEEP = {1: 0.14, 2: 0.10, 4: 0.08, 8: 0.07, 16: 0.05, 32: 0.04, 64: 0.045}
SMALL = {1: 0.02, 2: 0.03, 4: 0.06, 8: 0.2}


def engine_calls(lengths, batch):
    """What the engine does, tick by tick."""
    waiting, active, calls = sorted(lengths, reverse=True), [], 0
    while waiting or active:
        while waiting and len(active) < batch:
            active.append(waiting.pop(0))
        active = [left - 1 for left in active if left > 1]
        calls += 1
    return calls


@pytest.mark.parametrize("seed", range(20))
def test_calls_are_counted_as_the_engine_makes_them(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 40) for _ in range(draw.randint(1, 60))]
    for batch in (1, 2, 3, 7, 8, 64):
        assert network_calls(lengths, batch) == engine_calls(lengths, batch)


@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_paid_for_in_vain(seed):
    """Without measurements: as many calls as the usual size makes, in the fewest rows that do."""
    draw = random.Random(seed)
    lengths = [draw.choice([10, 20, 39]) for _ in range(draw.randint(1, 60))]
    size = best_batch(lengths, 8, {})
    assert network_calls(lengths, size) == network_calls(lengths, 8)
    assert size == 1 or network_calls(lengths, size - 1) > network_calls(lengths, size)


def test_usual_sizes():
    cpu, npu = Device("cpu"), Device("ascend", 0, "910B")
    assert [automatic_batch(cpu, (side, side)) for side in (8, 16, 32, 64, 128)] == [8, 8, 2, 1, 1]
    assert automatic_batch(npu, (128, 128)) == 4
    assert best_batch([20] * 10, 8, {}) == 5, "two rounds of five rather than of eight and two"
    assert best_batch([20] * 3, 8, {}) == 3
    assert best_batch([20] * 1000, 8, {}) == 8


def test_a_size_that_is_compiled_is_rather_taken():
    assert best_batch([20] * 10, 8, {}, {5}) == 5
    assert best_batch([20] * 10, 8, {}, {6, 7}) == 6
    assert best_batch([20] * 8, 8, {}, {5}) == 8, "five would take two rounds"
    assert best_batch([20] * 6, 8, {}, {5, 7}) == 7, "an empty row"
    assert best_batch([20] * 3, 8, {}, {8}) == 3, "five of eight are too many"
    assert best_batch([20] * 10, 8, {}, {1, 16}) == 8, "one more to compile, and the last"


def test_the_measured_size_counts_where_the_job_can_fill_it():
    assert best_batch([20] * 1000, 8, STEEP) == 32
    assert best_batch([20] * 32, 8, STEEP) == 32
    assert best_batch([20] * 33, 8, STEEP) == 11, "three calls of 16 or 11 at a time are fewer rows than two of 32"
    assert best_batch([20] * 5, 8, STEEP) == 5, "nothing is known of five"
    assert best_batch([20] * 1000, 8, FLAT) == 8, "what is within the noise changes nothing"
    assert best_batch([20] * 1000, 8, SMALL) == 1
    assert best_batch([20] * 1000, 4, {4: None, 2: 0.5, 1: 0.4}) == 1, "there is no room for the usual size"


class Machine:
    """Answers trials from a table and keeps count of them."""

    def __init__(self, table, compile_s=5.0):
        self.table, self.compile_s, self.tried = table, compile_s, []

    def __call__(self, size):
        self.tried.append(size)
        seconds = self.table.get(size)
        return None if seconds is None else Trial(seconds, self.compile_s)


def explored(table, images, known=None, compile_s=5.0, usual=8):
    machine, known = Machine(table, compile_s), {} if known is None else known
    explore([20] * images, usual, known, machine)
    return machine.tried, known


def test_a_small_job_tries_nothing_that_it_would_have_to_compile():
    assert explored(FLAT, 10)[0] == [], "not even a call"
    tried, known = explored(FLAT, 100)
    assert tried == [8] and known == {8: 0.07}, "0.03 · 140 s do not pay for a compilation of 5 s"


def test_a_large_job_goes_to_where_it_is_fastest_and_no_further():
    assert explored(FLAT, 10_000)[0] == [8, 16, 4]
    tried, known = explored(STEEP, 100_000)
    assert tried == [8, 16, 32, 64] and best_batch([20] * 100_000, 8, known) == 32
    tried, known = explored(SMALL, 100_000)
    assert tried == [8, 16, 4, 2, 1] and best_batch([20] * 100_000, 8, known) == 1
    assert known[16] is None


def test_what_is_known_is_not_tried_again():
    _, known = explored(FLAT, 10_000)
    assert explored(FLAT, 10_000, known)[0] == []
    tried, known = explored(STEEP, 10_000, {8: 0.07, 16: 0.05, 4: 0.08})
    assert tried == [16, 32, 64], "goes on where the last job stopped"


@pytest.mark.parametrize("images", [50, 100, 300, 1000, 3000, 10_000])
@pytest.mark.parametrize("table", [FLAT, STEEP, SMALL])
def test_trials_keep_to_their_share(table, images):
    tried, known = explored(table, images)
    spent = sum(5.0 + 4 * size * (table.get(size) or 0) for size in tried[1:])  # the first is the job's own shape
    job = network_calls([20] * images, 8) * 8 * table[8]
    assert spent <= 2 * SHARE * job + 1e-9
    assert all(known.values()) or table is SMALL


def test_no_more_images_than_the_job_has():
    machine = Machine(STEEP)
    explore([1000] * 30, 8, {}, machine)
    assert machine.tried == [8, 16]


def test_stopping_ends_the_trials():
    machine = Machine(STEEP)
    explore([20] * 100_000, 8, {}, machine, lambda: len(machine.tried) == 2)
    assert machine.tried == [8, 16]


def test_memory(tmp_path):
    memory = BatchMemory(tmp_path / "cache" / "batch.json")
    assert memory.known("a") == {}
    memory.remember("a", {8: 0.07, 16: None})
    memory.remember("b", {8: 0.5})
    assert BatchMemory(tmp_path / "cache" / "batch.json").known("a") == {8: 0.07, 16: None}
    memory.remember("a", {8: 0.06})
    assert memory.known("a") == {8: 0.06} and memory.known("b") == {8: 0.5}
    assert [each.name for each in (tmp_path / "cache").iterdir()] == ["batch.json"]
    for number in range(REMEMBERED + 5):
        memory.remember(f"network {number}", {1: 1.0})
    assert len(json.loads((tmp_path / "cache" / "batch.json").read_text())) == REMEMBERED
    assert memory.known("a") == {} and memory.known(f"network {REMEMBERED + 4}") == {1: 1.0}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '{"%s": 3}',
        '{"%s": {"8": "fast"}}',
        '{"%s": {"eight": 1}}',
        '{"%s": {"8": NaN}}',
        '{"%s": {"-8": 1}}',
        '{"%s": {"0": 1}}',
        '{"%s": {"8": -1}}',
        '{"%s": {"8": true, "1": []}}',
    ],
)
def test_a_memory_that_is_not_one_is_none(tmp_path, text):
    path = tmp_path / "batch.json"
    memory = BatchMemory(path)
    memory.remember("a", {8: 0.07})
    (key,) = json.loads(path.read_text())
    path.write_text(text.replace("%s", key))
    assert memory.known("a") == {}
    memory.remember("a", {8: 0.09})
    assert memory.known("a") == {8: 0.09}


def test_a_memory_that_cannot_be_written_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    memory = BatchMemory(tmp_path / "file" / "batch.json")
    memory.remember("a", {8: 0.07})
    assert memory.known("a") == {}
