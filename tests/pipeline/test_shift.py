"""Timesteps of a table are embedded together, each once, and come out as they would one by one."""

import numpy as np
import pytest

from mdiff.pipeline.shift import AHEAD, KEPT, TimeShifts, key_of


class Embedding:
    """Shifts that name what they were made from; counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, timesteps, added, guidance):
        self.calls += 1
        assert timesteps.shape == (AHEAD,)
        extra = np.zeros((AHEAD, 1)) if added is None else added[:, :1]
        extra = extra if guidance is None else extra + 100 * guidance[:, :1]
        return np.concatenate([timesteps[:, None], extra], axis=1).astype(np.float32)


@pytest.fixture
def embedding():
    return Embedding()


def look(shifts, timesteps, rows, tables):
    return shifts(np.asarray(timesteps, np.float32), rows, [key_of(row) for row in rows], tables)


def test_a_table_is_one_call(embedding):
    shifts = TimeShifts(embedding)
    table = np.asarray([900, 900, 700, 700, 10.5, 0], np.float32)
    for t in table:
        found = look(shifts, [t, t], [(None, None)] * 2, [table] * 2)
        assert found.tolist() == [[t, 0]] * 2
    assert embedding.calls == 1


def test_rows_differ_by_what_else_decides_them(embedding):
    shifts = TimeShifts(embedding)
    rows = [(np.float32([[7, 1]]), None), (np.float32([[8, 1]]), None), (np.float32([[7, 1]]), np.float32([[3]]))]
    assert look(shifts, [5, 5], rows[:2], [np.float32([5])] * 2).tolist() == [[5, 7], [5, 8]]
    assert look(shifts, [5], rows[2:], [np.float32([5])]).tolist() == [[5, 307]]


def test_what_no_table_announced_is_embedded_all_the_same(embedding):
    shifts = TimeShifts(embedding)
    found = look(shifts, [3, 4], [(None, None)] * 2, [np.float32([]), np.float32([9, 8])])
    assert found.tolist() == [[3, 0], [4, 0]]


def test_long_tables_are_taken_in_parts_and_not_all_kept(embedding):
    shifts = TimeShifts(embedding)
    table = np.arange(2 * KEPT, dtype=np.float32)[::-1]
    for t in table:
        assert look(shifts, [t], [(None, None)], [table]).tolist() == [[t, 0]]
    assert embedding.calls == 2 * KEPT // AHEAD
    assert len(shifts._kept) <= KEPT
    many = np.arange(KEPT + 40, dtype=np.float32)  # more at once than are kept
    rows = [(None, None)] * len(many)
    assert look(shifts, many, rows, [np.float32([])] * len(many))[:, 0].tolist() == many.tolist()
