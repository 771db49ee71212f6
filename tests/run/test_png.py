"""Recipes in PNG files: what goes in comes out, whatever the text; damage is noticed."""

import numpy as np
import pytest
from PIL import Image

from mdiff.errors import MdiffError
from mdiff.run.png import parameters_line, pixel_digest, read_back, to_pixels, write_png

PROMPTS = [
    "red apple",
    "<script>alert('x')</script> & \"quotes\"\nand a newline",
    "תפוח אדום — 红苹果 🍎\u202e right to left",
    "a" * 5000,
    "",
]


def recipe(prompt: str, pixels: np.ndarray, negative: str = "") -> dict:
    return {
        "schema": 1,
        "config": {"steps": 20, "guidance": 0.0},
        "image": {
            "index": 0,
            "prompt": prompt,
            "negative_prompt": negative,
            "seed": 0,
            "width": pixels.shape[1],
            "height": pixels.shape[0],
            "sha256": pixel_digest(pixels),
        },
        "effective": {"scheduler": "HeunDiscreteScheduler"},
        "weights": {"unet": "0123456789abcdef"},
        "versions": {"mdiff": "0.1.0"},
        "fingerprint": "f",
    }


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_text_and_pixels_survive(tmp_path, pixels, prompt):
    path = tmp_path / "image_000.png"
    write_png(path, pixels, recipe(prompt, pixels, negative=prompt[::-1]))
    found, back = read_back(path)
    assert found["image"]["prompt"] == prompt
    assert found["image"]["negative_prompt"] == prompt[::-1]
    assert np.array_equal(back, pixels)
    assert [each.name for each in tmp_path.iterdir()] == ["image_000.png"]


def test_the_line_of_web_uis(tmp_path, pixels):
    line = parameters_line(recipe("a cat", pixels, "blurry"))
    assert line.splitlines() == [
        "a cat",
        "Negative prompt: blurry",
        "Steps: 20, Sampler: Heun, CFG scale: 0.0, Seed: 0, Size: 16x24, Model hash: 0123456789, Version: mdiff 0.1.0",
    ]
    write_png(tmp_path / "x.png", pixels, recipe("a cat", pixels, "blurry"))
    assert Image.open(tmp_path / "x.png").info["parameters"] == line


def test_damage_is_noticed(tmp_path, pixels):
    path = tmp_path / "image_000.png"
    write_png(path, pixels, recipe("x", pixels))
    whole = path.read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:cut])
        assert read_back(path) is None
    path.write_bytes(b"not a picture at all")
    assert read_back(path) is None
    Image.fromarray(pixels).save(path)
    assert read_back(path) is None, "no recipe"
    other = recipe("x", pixels)
    write_png(path, 255 - pixels, other)
    assert read_back(path) is None, "pixels are not the recipe's"


def test_a_folder_that_is_not_there_is_named(tmp_path, pixels):
    with pytest.raises(MdiffError, match=r"cannot write .*absent.*No such file"):
        write_png(tmp_path / "absent" / "x.png", pixels, recipe("x", pixels))


def test_rounding_is_that_of_diffusers():
    image = np.array([-1.2, -1.0, -0.998, 0.0, 0.996, 1.0, 3.0], np.float32)
    assert to_pixels(np.tile(image, (3, 1, 1)))[0, :, 0].tolist() == [0, 0, 0, 128, 254, 255, 255]
