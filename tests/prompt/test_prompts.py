"""Prompt files and the prompt group: what is taken, and what is refused with a sentence."""

import json

import pytest

from mdiff.errors import MdiffError
from mdiff.prompt import Prompts, read_prompt_file


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("p.txt", "a cat\nein Käfer\n", ["a cat", "ein Käfer"]),
        ("p.txt", "\ufeffa cat\r\n\r\n  a dog  \r\n", ["a cat", "a dog"]),
        ("p.txt", "# a hash is part of a prompt", ["# a hash is part of a prompt"]),
        ("p", "- a dash too", ["- a dash too"]),
        ("p.json", '["a", "b\\n c", ""]', ["a", "b\n c", ""]),
        ("p.yaml", "- a\n- 'b: c'\n- |-\n  two\n  lines\n", ["a", "b: c", "two\nlines"]),
        ("p.YML", "[x, y]", ["x", "y"]),
    ],
)
def test_reads(tmp_path, name, content, expected):
    assert read_prompt_file(write(tmp_path, name, content)) == expected


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.txt", "", "has no prompt in it"),
        ("p.txt", " \n\n\t\n", "has no prompt in it"),
        ("p.yaml", "", "has no prompt in it"),
        ("p.yaml", "[]", "has no prompt in it"),
        ("p.json", "[]", "has no prompt in it"),
        ("p.txt", b"caf\xe9\n", "not UTF-8: byte 3 is 0xe9"),
        ("p.txt", "a".encode("utf-16"), "not UTF-8: byte 0 is 0xff"),
        ("p.json", "[1", "not valid JSON"),
        ("p.json", '{"a": 1}', "holds a dict, not a list"),
        ("p.json", '["a", 3]', "entry 2 is 3, not text"),
        ("p.json", "[" * 100_000, "not valid JSON"),
        ("p.yaml", "- a\n- [b\n", "not valid YAML in line"),
        ("p.yaml", "- a\n- yes\n", "entry 2 is True, not text"),
        ("p.yaml", "just text", "holds a str, not a list"),
        ("p.yaml", "- !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_refuses(tmp_path, name, content, said):
    path = write(tmp_path, name, content)
    with pytest.raises(MdiffError) as caught:
        read_prompt_file(path)
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(MdiffError, match=r"gone\.txt is missing"):
        read_prompt_file(tmp_path / "gone.txt")
    with pytest.raises(MdiffError, match="cannot be read: Is a directory"):
        read_prompt_file(tmp_path)


def test_pairs():
    assert Prompts("a").pairs() == (("a", ""),)
    assert Prompts(["a", "b"], "bad").pairs() == (("a", "bad"), ("b", "bad"))
    assert Prompts(["a", "b"], ["x", "y"]).pairs() == (("a", "x"), ("b", "y"))
    assert Prompts("", None).pairs() == (("", ""),)
    assert len(Prompts(["a", "a"])) == 2


def test_a_file_takes_the_place_of_the_text(tmp_path):
    path = write(tmp_path, "p.json", json.dumps(["x", "y"]))
    assert Prompts("default", "bad", str(path)).pairs() == (("x", "bad"), ("y", "bad"))


@pytest.mark.parametrize(("given", "meant"), [("on", "on"), ("off", "off"), (True, "on"), (False, "off")])
def test_weighting_as_yaml_reads_it(given, meant):
    assert Prompts("a", weighting=given).weighting == meant


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"text": []}, "prompt.text is an empty list"),
        ({}, "set prompt.text or prompt.file"),
        ({"text": 1984}, "prompt.text is 1984, not text"),
        ({"text": ["a", None]}, "entry 2 of prompt.text is None, not text"),
        ({"text": {"a": 1}}, "not text"),
        ({"text": "a\ud83d"}, "half of a surrogate pair"),
        ({"text": "a\0b"}, "NUL"),
        ({"text": ["a", "b"], "negative": ["x"]}, "1 entries for 2 prompts"),
        ({"text": "a", "negative": []}, "0 entries for 1 prompts"),
        ({"text": "a", "negative": 0}, "prompt.negative is 0, not text"),
        ({"text": "a", "weighting": "onn"}, "did you mean 'on'"),
        ({"text": "a", "weighting": ["on"]}, "prompt.weighting is"),
        ({"text": "a", "file": 3}, "prompt.file is 3"),
        ({"text": "a", "file": ""}, "prompt.file is ''"),
        ({"text": "a", "file": "/nowhere/prompts.txt"}, "is missing"),
    ],
)
def test_refused_groups(options, said):
    with pytest.raises(MdiffError) as caught:
        Prompts(**options)
    assert said in str(caught.value)
