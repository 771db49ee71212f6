"""The web UIs' grammar, chunks of long prompts, and weights on embeddings."""

import numpy as np
import pytest

from mdiff.prompt import Tokenizer, apply_weights, chunk, pad_to, parse_emphasis
from mdiff.prompt.vocabulary import END
from tests.prompt.make_golden import write_tokenizer
from tests.prompt.strings import strings


def parsed(prompt):
    return [(part.text, pytest.approx(part.weight), part.chunk) for part in parse_emphasis(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", [("", 1, 0)]),
        ("a cat", [("a cat", 1, 0)]),
        ("a (red) cat", [("a ", 1, 0), ("red", 1.1, 0), (" cat", 1, 0)]),
        ("((red))", [("red", 1.21, 0)]),
        ("[red]", [("red", 1 / 1.1, 0)]),
        ("[(red)]", [("red", 1, 0)]),
        ("(red:1.3)", [("red", 1.3, 0)]),
        ("(red: 1.3 )", [("red", 1.3, 0)]),
        ("(red:.5)", [("red", 0.5, 0)]),
        ("(red:-1)", [("red", -1, 0)]),
        ("(red:0)", [("red", 0, 0)]),
        ("((red:1.5) car)", [("red", 1.65, 0), (" car", 1.1, 0)]),
        ("(a (b:2) c:3)", [("a ", 3, 0), ("b", 6, 0), (" c", 3, 0)]),
        (r"a \(literal\) [b\]", [("a (literal) ", 1, 0), ("b]", 1 / 1.1, 0)]),
        (r"C:\\(x)", [("C:\\", 1, 0), ("x", 1.1, 0)]),
        (r"back\slash", [("back\\slash", 1, 0)]),
        ("ratio 16:9", [("ratio 16:9", 1, 0)]),
        ("smile :) now", [("smile :) now", 1, 0)]),
        ("a:1.3) b", [("a:1.3) b", 1, 0)]),
        ("(never closed", [("never closed", 1.1, 0)]),
        ("(a [b) c]", [("a ", 1.1 / 1, 0), ("b) c", 1 / 1.1 * 1.1, 0)]),
        ("(12:30)", [("12", 30, 0)]),
        ("a BREAK b", [("a", 1, 0), ("b", 1, 1)]),
        ("BREAK a", [("a", 1, 1)]),
        ("a BREAK BREAK b", [("a", 1, 0), ("b", 1, 2)]),
        ("(a BREAK b:2)", [("a", 2, 0), ("b", 2, 1)]),
        ("BREAKFAST break", [("BREAKFAST break", 1, 0)]),
        ("a (big:1.2) BREAK c", [("a ", 1, 0), ("big", 1.2, 0), ("c", 1, 1)]),
    ],
)
def test_grammar(prompt, expected):
    assert parsed(prompt) == expected


def test_any_string_parses_and_none_of_it_is_lost():
    for text in strings(500, seed=3):
        bare = text.translate(dict.fromkeys(map(ord, "()[]\\:"))).replace("BREAK", "")
        parts = parse_emphasis(bare)
        assert "".join(part.text for part in parts) == bare
        parse_emphasis(text)
    parse_emphasis("(" * 2_000 + "a" + ")" * 2_000)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, ["a b</w>"], END)
    return Tokenizer.from_folder(folder, max_length=10)  # room for 8 tokens


@pytest.mark.parametrize("text", ["", "a", "a b c", "a b c d e f g h"])
def test_a_plain_short_prompt_is_what_the_tokenizer_gives(tokenizer, text):
    chunks = chunk(tokenizer, text)
    np.testing.assert_array_equal(chunks.ids, tokenizer([text]))
    assert not chunks.weighted


def test_a_long_prompt_loses_nothing(tokenizer):
    text = "a b c d e f g h i j k l m n o p q"
    chunks = chunk(tokenizer, text)
    assert chunks.ids.shape == (3, 10)
    assert (chunks.ids[:, 0] == tokenizer.bos_id).all()
    body = [token for row in chunks.ids for token in row[1:9]]
    ids = tokenizer.ids(text)
    assert body[: len(ids)] == ids
    assert set(body[len(ids) :]) == {tokenizer.eos_id}
    assert chunks.ids[0, 9] == tokenizer.eos_id


def test_exactly_full_makes_no_empty_chunk(tokenizer):
    assert len(chunk(tokenizer, "a b c d e f g h")) == 1
    assert len(chunk(tokenizer, "a b c d e f g h i")) == 2


def test_weights_stand_at_their_tokens(tokenizer):
    chunks = chunk(tokenizer, "x (y z:1.5) q")
    np.testing.assert_allclose(chunks.weights[0], [1, 1, 1.5, 1.5, 1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(chunks.ids, tokenizer(["x y z q"]))


def test_break_begins_a_chunk(tokenizer):
    chunks = chunk(tokenizer, "a b BREAK (c:2)")
    np.testing.assert_array_equal(chunks.ids, tokenizer(["a b", "c"]))
    np.testing.assert_allclose(chunks.weights[1][:3], [1, 2, 1])


def test_weighting_off_takes_the_text_literally(tokenizer):
    text = "a (b:2) BREAK"
    chunks = chunk(tokenizer, text, weighting=False)
    assert not chunks.weighted
    np.testing.assert_array_equal(chunks.ids.ravel()[1:9], tokenizer([text])[0][1:9])


def test_padding_to_the_longer_of_two(tokenizer):
    chunks = pad_to(chunk(tokenizer, "a (b)"), tokenizer, 3)
    np.testing.assert_array_equal(chunks.ids, tokenizer(["a b", "", ""]))
    assert (chunks.weights[1:] == 1).all()
    assert pad_to(chunks, tokenizer, 2) is chunks


def test_apply_weights_scales_tokens():
    embeddings = np.random.default_rng(0).standard_normal((2, 10, 4)).astype(np.float32)
    weights = np.ones((2, 10), np.float32)
    weights[1, 3] = 1.5
    out = apply_weights(embeddings, weights)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out[0], embeddings[0])
    np.testing.assert_array_equal(out[1, 3], embeddings[1, 3] * np.float32(1.5))
