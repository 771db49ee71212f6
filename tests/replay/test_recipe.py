"""Recipes from anyone: broken ones are refused in a sentence, and none can name code or leave the current folder."""

import json
from pathlib import Path

import pytest

from mdiff.errors import MdiffError
from mdiff.replay.recipe import check_paths, parse_recipe
from tests.replay.picture import recipe

IMAGE = Path("image.png")


def parsed(**changes):
    return parse_recipe(json.dumps(recipe(**changes)), IMAGE)


def test_a_recipe_of_many_prompts_becomes_its_one_image():
    config = recipe()["config"] | {"num_images": 4, "seed": 0}
    config["prompt"] = {**config["prompt"], "text": ["a cat", "a dog"], "file": "prompts.txt", "weighting": "off"}
    image = recipe()["image"] | {"prompt": "a dog", "seed": 2}
    single = parsed(config=config, image=image).single()
    assert single["prompt"] == {
        "_target_": "mdiff.prompt.Prompts",
        "text": "a dog",
        "negative": "",
        "file": None,
        "weighting": "off",
    }
    assert (single["seed"], single["num_images"], single["resume"]) == (2, 1, False)


def test_where_results_go_is_not_the_recipes_to_say():
    config = recipe()["config"] | {"output": {"dir": "/etc"}, "name": "../../x", "on_error": "continue"}
    single = parsed(config=config).single()
    assert (single["output"], single["name"]) == ({"dir": "outputs"}, "replay")


def without(name, key=None):
    broken = recipe()
    del (broken if key is None else broken[name])[name if key is None else key]
    return json.dumps(broken)


BROKEN = {
    "empty": "",
    "not JSON": "{",
    "a list": "[]",
    "a number": "1",
    "NaN": json.dumps(recipe(weights={"x": float("nan")})),
    "too deep": json.dumps(recipe(config=json.loads('{"x":' * 30 + "1" + "}" * 30))),
    "far too deep": "[" * 100_000,
    "a long number": json.dumps(recipe())[:-1] + ', "x": ' + "1" * 9000 + "}",
    "another schema": json.dumps(recipe(schema=2)),
    "no schema": without("schema"),
    "no config": without("config"),
    "no image": without("image"),
    "no prompt": without("image", "prompt"),
    "a prompt list": json.dumps(recipe(image=recipe()["image"] | {"prompt": ["x"]})),
    "a seed as text": json.dumps(recipe(image=recipe()["image"] | {"seed": "3"})),
    "a seed of true": json.dumps(recipe(image=recipe()["image"] | {"seed": True})),
    "a digest that is none": json.dumps(recipe(image=recipe()["image"] | {"sha256": "x"})),
    "weights as a list": json.dumps(recipe(weights=[])),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_broken_recipe_is_one_sentence(text):
    with pytest.raises(MdiffError, match=r"the recipe in image\.png") as caught:
        parse_recipe(text, IMAGE)
    assert "\n" not in str(caught.value)


AWAY = ["/etc", "../up", "a/../../b", "~root/x", "~/x", "/proc/self/cwd/../x", "x\0y"]


@pytest.mark.parametrize("value", AWAY)
@pytest.mark.parametrize("key", ["path", "tokenizer"])
def test_a_path_outside_the_current_folder_is_refused(tmp_path, monkeypatch, key, value):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = recipe()["config"]
    config["model"][key] = value
    with pytest.raises(MdiffError, match="outside the current folder"):
        check_paths(config, frozenset(), IMAGE)
    check_paths(config, frozenset({f"model.{key}"}), IMAGE)


def test_a_lora_outside_the_current_folder_is_refused():
    for entry in ("/etc/x.safetensors", {"path": "../x.safetensors"}):
        config = recipe()["config"]
        config["model"]["loras"] = [entry]
        with pytest.raises(MdiffError, match=r"model\.loras"):
            check_paths(config, frozenset(), IMAGE)


def test_names_and_folders_below_are_allowed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in ("bundled:emoji", "stabilityai/sdxl-turbo", "models/mine", str(tmp_path / "models"), "a/../b"):
        config = recipe()["config"]
        config["model"]["path"] = value
        check_paths(config, frozenset(), IMAGE)
