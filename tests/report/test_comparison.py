"""Two runs side by side."""

import json
import shutil

from mdiff.report import compare
from tests.report.example import VERSIONS, write_cell, write_sweep


def test_the_same_run_twice_is_identical(tmp_path):
    a, b = (write_sweep(tmp_path / name, steps=(5, 10), seeds=(0,)) for name in "ab")
    comparison = compare(a, b, tmp_path / "out")
    assert len(comparison.matched) == 6
    assert all(image.identical for image in comparison.images)
    assert comparison.differences == {}
    assert "6 of 6 images identical" in comparison.summary
    assert (tmp_path / "out" / "compare.html").is_file()


def test_what_differs_is_named(tmp_path):
    a = write_sweep(tmp_path / "a", steps=(5, 10), seeds=(0,))
    other = {"weights": {"unet": "00" * 32}, "versions": VERSIONS | {"mindspore": "2.9.0"}}
    b = write_sweep(tmp_path / "b", steps=(10, 20), seeds=(0,), precisions=("bf16",), shift=2, **other)
    comparison = compare(a, b)
    assert len(comparison.matched) == 3
    assert all("steps=5," in name for name in comparison.only_a)
    assert all("steps=20," in name for name in comparison.only_b)
    found = {kind: {entry[0]: entry[1:] for entry in entries} for kind, entries in comparison.differences.items()}
    assert found["config"] == {"precision.name": ("fp32", "bf16", 3)}
    assert found["versions"] == {"mindspore": ("2.10.0", "2.9.0", 3)}
    assert found["weights"]["unet"] == ("ab" * 32, "00" * 32, 3)
    assert found["effective"]["precision.weights"] == ("float32", "bfloat16", 3)
    assert all(0 < image.error < 100 and image.similarity < 1 for image in comparison.images)
    seconds = comparison.ratios["denoise_s"]
    assert round(seconds[2], 2) == 0.8
    plain = json.loads((a / "compare.json").read_text())
    assert [image["identical"] for image in plain["images"]] == [False] * 3
    assert plain["times"]["denoise_s"]["ratio"] == seconds[2]


def test_single_runs_are_compared_whatever_they_are(tmp_path):
    a = write_cell(tmp_path / "a", "heun", 20)
    b = write_cell(tmp_path / "b", "lms", 30, side=96)
    comparison = compare(a, b)
    assert comparison.images[0].verdict == "different sizes: 64 x 64 and 96 x 96"
    assert {"steps", "scheduler._target_", "width", "height"} <= {
        entry[0] for entry in comparison.differences["config"]
    }


def test_missing_and_broken_images_are_named(tmp_path):
    a = write_sweep(tmp_path / "a", steps=(5,), seeds=(0,))
    b = tmp_path / "b"
    shutil.copytree(a, b)
    places = sorted(b.glob("*/image_000.png"))
    places[0].unlink()
    places[1].write_bytes(b"\x89PNG nothing")
    verdicts = [image.verdict for image in compare(a, b).images]
    assert verdicts == ["missing in B", "image_000.png: not a readable PNG", "identical"]


def test_text_of_records_is_escaped(tmp_path):
    text = "<script>alert(1)</script>"
    a, b = write_cell(tmp_path / "a", prompt=text), write_cell(tmp_path / "b", prompt="plain")
    page = compare(a, b).page.read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
