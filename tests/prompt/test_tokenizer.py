"""The same ids as transformers' CLIPTokenizer, on a small vocabulary (golden) and on CLIP's own (live)."""

import importlib.util
import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from mdiff.errors import MdiffError
from mdiff.prompt import Tokenizer
from mdiff.prompt.vocabulary import END, START, read_vocabulary
from tests.prompt.make_golden import GOLDEN, write_tokenizer
from tests.prompt.strings import strings


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def layout(request, golden, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_tokenizer(folder, golden["merges"], END if request.param == "sd1" else "!")
    return request.param, folder


def test_golden_ids(layout, golden):
    name, folder = layout
    ids = Tokenizer.from_folder(folder)(golden["texts"])
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, golden[name])


def test_the_golden_texts_try_what_they_should(golden):
    joined = "".join(golden["texts"])
    assert "" in golden["texts"]
    assert {unicodedata.category(letter)[0] for letter in joined} >= set("LMNPSZC")
    assert max(map(len, golden["texts"])) == 400


def test_tokenizer_json_alone_gives_the_same(layout, golden, tmp_path):
    """Newer exports have one tokenizer.json instead of vocab.json and merges.txt."""
    name, folder = layout
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    pairs = [merge.split(" ") for merge in golden["merges"]]
    named = json.loads((folder / "special_tokens_map.json").read_text())
    added = [{"id": vocab[named["pad_token"]], "content": named["pad_token"], "normalized": False, "special": True}]
    added += [
        {"id": vocab[token["content"]], "special": True, **token}
        for token in (named["bos_token"], named["eos_token"])
        if token["content"] != named["pad_token"]
    ]
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "BPE", "vocab": vocab, "merges": pairs}, "added_tokens": added})
    )
    (tmp_path / "tokenizer_config.json").write_text((folder / "tokenizer_config.json").read_text())
    np.testing.assert_array_equal(Tokenizer.from_folder(tmp_path)(golden["texts"]), golden[name])


def test_shape_start_end_and_padding(layout):
    name, folder = layout
    tokenizer = Tokenizer.from_folder(folder)
    (row,) = tokenizer([""])
    assert row.shape == (24,)
    assert row[0] == tokenizer.bos_id and row[1] == tokenizer.eos_id
    assert set(row[2:].tolist()) == {tokenizer.pad_id}
    assert (tokenizer.pad_id == tokenizer.eos_id) == (name == "sd1")
    assert Tokenizer.from_folder(folder, max_length=10)(["a b c d e f g h i j k"]).shape == (1, 10)


def test_dropped_is_what_does_not_fit(layout):
    tokenizer = Tokenizer.from_folder(layout[1])
    fits = " ".join("a" * 22)
    assert tokenizer.dropped(fits) == ""
    assert tokenizer.dropped(fits + " b  c") == "b  c"
    assert tokenizer.dropped("É " * 11 + "😀 Ü") != ""
    np.testing.assert_array_equal(tokenizer([fits + " b c"]), tokenizer([fits]))
    # Where the cut lies between words, the text that was kept encodes to what was kept
    for text in strings(200, seed=9):
        dropped = tokenizer.dropped(text)
        kept = text[: len(text) - len(dropped)]
        if dropped and kept[-1] == " " and len(tokenizer.ids(kept)) == 22:
            np.testing.assert_array_equal(tokenizer([kept]), tokenizer([text]))


def test_long_texts_are_quick(layout):
    assert Tokenizer.from_folder(layout[1])(["a b " * 100_000]).shape == (1, 24)


def test_half_of_a_surrogate_pair_is_an_error(layout):
    with pytest.raises(MdiffError, match="valid Unicode"):
        Tokenizer.from_folder(layout[1])(["a \ud83d"])


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("vocab.json", None, "neither vocab.json with merges.txt nor tokenizer.json"),
        ("vocab.json", "{", "not valid JSON"),
        ("vocab.json", "[]", "list where a JSON object belongs"),
        ("vocab.json", '{"a": "b"}', "does not map tokens to numbers"),
        ("vocab.json", '{"a": 1}', "which its vocabulary does not have"),
        ("merges.txt", "#version: 0.2\na b c\n", "line 2 is not a pair of tokens"),
        ("merges.txt", b"\xff\xfe", "not UTF-8"),
        ("merges.txt", "q zz\n", "which its vocabulary does not have"),
        ("special_tokens_map.json", '{"bos_token": 3}', "special token that is no text"),
        ("special_tokens_map.json", '{"pad_token": "<pad>"}', "has no pad_token '<pad>' in its vocabulary"),
        ("tokenizer_config.json", "nope", "not valid JSON"),
    ],
)
def test_broken_folders_are_named(golden, tmp_path, file, content, said):
    write_tokenizer(tmp_path, golden["merges"], END)
    path = tmp_path / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(MdiffError) as caught:
        Tokenizer.from_folder(tmp_path)
    assert said in str(caught.value) and str(tmp_path) in str(caught.value)


def clip_vocabulary() -> Path:
    """OpenAI's vocabulary, as the package open_clip_torch ships it."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None:
        pytest.skip("needs the vocabulary in open_clip_torch (extra `parity`)")
    return Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"


@pytest.mark.slow
@pytest.mark.parity
@pytest.mark.parametrize("pad", [END, "!"])
def test_clip_vocabulary_on_ten_thousand_strings(tmp_path, pad):
    transformers = pytest.importorskip("transformers")
    tokenizer = Tokenizer.from_openai(clip_vocabulary())
    vocabulary = read_openai(tmp_path, pad)
    reference = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    texts = strings(10_000)
    expected = reference(texts, padding="max_length", truncation=True, max_length=77).input_ids
    assert sum(len(text) > 500 for text in texts) > 100 and "" in texts
    mine = Tokenizer(vocabulary)
    np.testing.assert_array_equal(mine(texts), expected)
    assert [mine.ids(text) for text in texts] == reference(texts, add_special_tokens=False).input_ids
    if pad == END:
        plain = [text for text in texts if "<|" not in text]  # the two spell the special tokens' case differently
        np.testing.assert_array_equal(tokenizer(plain), mine(plain))


def read_openai(folder, pad):
    """Write CLIP's vocabulary as a Hugging Face folder and read it back."""
    from mdiff.prompt.vocabulary import read_openai_vocabulary

    openai = read_openai_vocabulary(clip_vocabulary())
    assert len(openai.ids) == 49408 and openai.ids[START] == 49406
    write_tokenizer(folder, [" ".join(pair) for pair in openai.merges], pad)
    (folder / "vocab.json").write_text(json.dumps(openai.ids, ensure_ascii=False), "utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 77}))
    vocabulary = read_vocabulary(folder)
    assert vocabulary.ids == openai.ids and vocabulary.merges == openai.merges
    return vocabulary
