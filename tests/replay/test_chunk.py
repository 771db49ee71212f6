"""Text chunks of PNG files: every kind, and every way of being wrong."""

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mdiff.errors import MdiffError
from mdiff.replay.chunk import MAX_TEXT_BYTES, read_texts
from tests.replay.picture import SIGNATURE, chunk, compressed, international, png, text


def read(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)
    return read_texts(tmp_path / "x.png")


def test_every_kind_of_text(tmp_path):
    chunks = (
        text("a", "café"),
        compressed("b", b"zip"),
        international("c", "אבג 🍎"),
        international("d", "x" * 9000, True),
    )
    assert read(tmp_path, png(*chunks)) == {"a": "café", "b": "zip", "c": "אבג 🍎", "d": "x" * 9000}


def test_what_pillow_writes(tmp_path):
    info = PngInfo()
    info.add_text("mdiff", '{"a": 1}')
    info.add_text("parameters", "שלום\nSteps: 1")
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png", pnginfo=info)
    assert read_texts(tmp_path / "x.png") == {"mdiff": '{"a": 1}', "parameters": "שלום\nSteps: 1"}


def test_the_first_of_a_keyword_counts(tmp_path):
    assert read(tmp_path, png(text("mdiff", "one"), text("mdiff", "two"))) == {"mdiff": "one"}


def test_a_picture_without_text(tmp_path):
    assert read(tmp_path, png()) == {}


WRONG = {
    "not a PNG": b"GIF89a",
    "an empty file": b"",
    "cut short": png(text("mdiff", "{}"))[:-20],
    "cut in a text": png(text("mdiff", "{}"))[:50],
    "a length beyond the file": SIGNATURE + b"\0\1\0\0tEXtmdiff",
    "a wrong checksum": png(text("mdiff", "{}")).replace(b"mdiff\0{}", b"mdiff\0[]"),
    "not UTF-8": png(chunk(b"iTXt", b"mdiff\0\0\0\0\0\xff\xfe")),
    "not zlib": png(chunk(b"zTXt", b"mdiff\0\0nothing")),
    "too much text": png(text("Comment", "x" * (MAX_TEXT_BYTES + 1))),
    "too much in parts": png(*[text("Comment", "x" * (MAX_TEXT_BYTES // 4 + 1))] * 4),
    "a bomb": png(compressed("mdiff", b"\0" * (MAX_TEXT_BYTES + 1))),
    "a bomb in UTF-8": png(international("mdiff", " " * (MAX_TEXT_BYTES + 1), True)),
    "a million chunks": SIGNATURE + chunk(b"abcd", b"") * 100_001,
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_refused_is_one_sentence(tmp_path, data):
    with pytest.raises(MdiffError) as caught:
        read(tmp_path, data)
    assert "x.png" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(MdiffError, match="No such file"):
        read_texts(tmp_path / "nowhere.png")
