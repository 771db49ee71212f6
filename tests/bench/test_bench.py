"""The benchmark commands run and print what they say, on little models; their figures are nobody's assertion."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mdiff.bench.process import SIDES
from mdiff.bench.size import SIZES, make
from mdiff.model import ModelSource, describe

ROOT = Path(__file__).parents[2]
HAS_DIFFUSERS = importlib.util.find_spec("diffusers") is not None
needs_diffusers = pytest.mark.skipif(not HAS_DIFFUSERS, reason="diffusers is not installed")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The folder that holds the weights of the suite's rows."""
    return tmp_path_factory.mktemp("work")


def bench(*words: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mdiff.bench", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=900)


@pytest.mark.slow
def test_one_side_alone(tmp_path):
    done = bench("--only", "mdiff", "--rounds", "1", "--calls", "1", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert figures.keys() == {"step", "encode", "decode"}
    assert all(row["mdiff"] > 0 and "ratio" not in row for row in figures.values())


@pytest.mark.slow
@pytest.mark.parity
@needs_diffusers
def test_both_sides_on_the_bundled_model():
    done = bench("stages", "--rounds", "1", "--calls", "1", "--stages", "step")
    assert done.returncode == 0, done.stderr
    header, row = done.stdout.strip().splitlines()
    assert header.split() == ["stage", "mdiff", "s", "diffusers", "s", "ratio"]
    name, ours, theirs, ratio = row.split()
    assert name == "step"
    assert min(float(ours), float(theirs), float(ratio)) > 0


@pytest.mark.skipif(HAS_DIFFUSERS, reason="diffusers is installed")
@pytest.mark.parametrize("command", [(), ("suite",), ("sweep",)])
def test_without_the_reference_it_says_what_to_install(command):
    done = bench(*command)
    assert done.returncode == 1
    assert "mdiff.bench: diffusers is not installed; pip install '.[parity]', or " in done.stderr


def test_a_row_that_is_not_there_is_told():
    done = bench("suite", "step_sd15_65")
    assert done.returncode == 1
    assert "mdiff.bench: the suite has no row 'step_sd15_65'" in done.stderr
    assert "step_sd15_64" in done.stderr


@pytest.mark.slow
def test_a_model_that_is_not_there_is_told(tmp_path):
    done = bench("--only", "mdiff", "--model", tmp_path)
    assert done.returncode == 1
    assert "model_index.json" in done.stderr
    assert "the mdiff side ended with status" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_weights_that_are_made_are_a_model(work):
    folder = make("tiny", work / "tiny")
    assert describe(ModelSource(path=str(folder))).kind == "sd"
    before = (folder / "made.json").stat().st_mtime_ns
    make("tiny", folder)
    assert (folder / "made.json").stat().st_mtime_ns == before, "they are made once"


def test_the_sizes_are_those_of_the_public_models():
    channels = {name: components["unet"]["block_out_channels"] for name, components in SIZES.items()}
    assert channels["sd15"] == [320, 640, 1280, 1280]
    assert channels["sdxl"] == [320, 640, 1280]
    assert SIZES["sdxl"]["unet"]["transformer_layers_per_block"] == [1, 2, 10]


@pytest.mark.slow
@pytest.mark.parity
@needs_diffusers
def test_the_suite_measures_its_rows(work, tmp_path):
    rows = ["step_tiny", "encode_tiny", "decode_tiny", "batch_tiny", "load_tiny", "peak_tiny"]
    done = bench("suite", *rows, "--rounds", "1", "--work", work, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert list(results) == rows
    for told in results.values():
        assert min(told["mdiff"], told["diffusers"], told["ratio"]) > 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["row", *rows]
    assert results["step_tiny"]["first steps"]["ratio"] > 0
    assert "first steps" not in results["decode_tiny"], "an image has one decoding"
    assert "in the first 5 steps of a process" in done.stdout.splitlines()[1]
    assert results["peak_tiny"]["mdiff"] > 100, "megabytes"
    assert all(0 < results["peak_tiny"]["seconds"][side][act] < 60 for side in SIDES for act in ("load", "image"))


@pytest.mark.slow
def test_the_second_process_is_timed_from_the_import(tmp_path):
    done = bench("suite", "start_bundled", "--rounds", "1", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "figures.json").read_text())["results"]["start_bundled"]
    assert 0 < told["mdiff"] < told["first process"]


@pytest.mark.slow
@pytest.mark.parity
@needs_diffusers
def test_whole_processes_make_the_same_picture(tmp_path):
    done = bench("suite", "image_warm", "--rounds", "1", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "figures.json").read_text())["results"]["image_warm"]
    assert told["largest pixel difference"] <= 1
    assert told["limit"] == 0.6


@pytest.mark.slow
@pytest.mark.parity
@needs_diffusers
def test_a_small_grid_every_way(tmp_path):
    done = bench("sweep", "--steps", "2", "--seeds", "0,1", "--rounds", "1", "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "figures.json").read_text())
    assert results["seconds"].keys() == {"warm", "cold", "basic", "diffusers"}
    assert [(each["of"], each["to"]) for each in results["ratios"]] == [
        ("warm", "basic"), ("warm", "diffusers"), ("cold", "diffusers"),
    ]  # fmt: skip
    assert results["batched beside engine.batch=1"]["largest difference"] <= 1
    assert results["engine.batch=1 beside diffusers"]["largest difference"] <= 1


@pytest.mark.slow
def test_the_cost_of_cells(work, tmp_path):
    words = ["--model", "tiny", "--work", work, "--few", "4", "--different", "4", "--rounds", "1"]
    done = bench("cells", *words, "--json", tmp_path / "figures.json")
    assert done.returncode == 0, done.stderr
    sweeps = json.loads((tmp_path / "figures.json").read_text())["sweeps"]
    assert [(each["groups"], each["cells"]) for each in sweeps] == [
        ("few", 2), ("few", 4), ("different", 2), ("different", 4),
    ]  # fmt: skip
    for each in sweeps:
        assert min(each["load_s"], each["network_s"], each["png_s"], each["left_s"]) > 0
        assert each["left_s"] < each["cpu_s"]
