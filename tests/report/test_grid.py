"""The keys that vary, found from records alone."""

import json

from mdiff.report.grid import make_grid
from mdiff.report.record import display, flatten, read_cells
from tests.report.example import write_cell, write_sweep


def grid_of(folder):
    return make_grid(read_cells(folder)[0])


def test_a_sweep_has_its_keys_in_order(tmp_path):
    grid = grid_of(write_sweep(tmp_path, steps=(5, 10, 50)))
    assert {key.name: key.values for key in grid.keys} == {
        "scheduler": ("dpmpp_2m", "heun", "lms"),
        "steps": ("5", "10", "50"),
        "seed": ("0", "1"),
    }
    assert (grid.row, grid.column) == ("scheduler", "steps")
    assert len(grid.items) == 18


def test_a_class_names_its_group_where_no_file_is_recorded(tmp_path):
    write_sweep(tmp_path, steps=(5,), seeds=(0,))
    for path in tmp_path.glob("*/record.json"):
        record = json.loads(path.read_text())
        del record["varies"]
        path.write_text(json.dumps(record))
    assert [key.values for key in grid_of(tmp_path).keys] == [("DPMSolverMultistep", "HeunDiscrete", "LMSDiscrete")]


def test_a_cell_that_does_not_say_its_file_does_not_rename_the_others(tmp_path):
    write_sweep(tmp_path, steps=(5,), seeds=(0,))
    for scheduler, target in (("heun", "mdiff.scheduler.HeunDiscreteScheduler"), ("lms", None)):
        place = write_cell(tmp_path / f"without-{scheduler}", scheduler, 7)
        record = json.loads((place / "record.json").read_text())
        del record["varies"]["scheduler"]
        record["requested"]["scheduler"]["_target_"] = target
        (place / "record.json").write_text(json.dumps(record))
    found = {key.name: key.values for key in grid_of(tmp_path).keys}
    assert found["scheduler"] == ("default", "dpmpp_2m", "heun", "lms")


def test_an_option_counts_unless_its_class_implies_it(tmp_path):
    for name, scheduler, sigmas in (("a", "heun", "karras"), ("b", "heun", "default"), ("c", "lms", "default")):
        place = write_cell(tmp_path / name, scheduler)
        record = json.loads((place / "record.json").read_text())
        record["requested"]["scheduler"] |= {"sigmas": sigmas, "order": 2 if scheduler == "lms" else 1}
        (place / "record.json").write_text(json.dumps(record))
    assert [key.name for key in grid_of(tmp_path).keys] == ["scheduler", "scheduler.sigmas"]


def test_where_results_went_is_no_key(tmp_path):
    for name in ("a", "b"):
        place = write_cell(tmp_path / name, seed=len(list(tmp_path.iterdir())))
        record = json.loads((place / "record.json").read_text())
        record["requested"] |= {
            "name": name,
            "output": {"dir": f"/x/{name}"},
            "resume": name == "a",
            "profile": name == "a",
        }
        (place / "record.json").write_text(json.dumps(record))
    assert [key.name for key in grid_of(tmp_path).keys] == ["seed"]


def test_the_same_settings_twice_are_told_apart_by_their_folder(tmp_path):
    write_cell(tmp_path / "monday")
    write_cell(tmp_path / "tuesday")
    assert [(key.name, key.values) for key in grid_of(tmp_path).keys] == [("cell", ("monday", "tuesday"))]


def test_a_failed_cell_has_its_place(tmp_path):
    write_cell(tmp_path / "a", steps=10)
    write_cell(tmp_path / "b", steps=20, error="out of memory")
    grid = grid_of(tmp_path)
    assert [(item.picture, item.values) for item in grid.items] == [(0, ("10",)), (None, ("20",))]


def test_flatten_and_display():
    config = {"a": {"b": 1, "c": {"d": [1, "x"]}}, "e": None, "f": {}}
    assert flatten(config) == {"a.b": 1, "a.c.d": '[1, "x"]', "e": None, "f": "{}"}
    assert [display(value) for value in (5.0, 5, 7.5, True, None, "x")] == ["5", "5", "7.5", "true", "null", "x"]


def test_flatten_survives_depth_and_breadth():
    deep = {}
    for _ in range(200):
        deep = {"x": deep}
    assert len(flatten(deep)) == 1
    assert len(flatten({str(number): number for number in range(10_000)})) == 2000
