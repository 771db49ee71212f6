"""Long prompts beside the compel library, where both cut at the same places: at every 75th token."""

import numpy as np
import pytest

from mdiff.prompt import Tokenizer, chunk
from tests.prompt.make_golden import write_tokenizer

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
@pytest.mark.parametrize(
    "prompt",
    ["", "a red cat", "a, b. c; " * 30, "word " * 75, "word " * 76, "one two three four five six seven " * 40],
)
def test_chunks_give_the_embeddings_of_compel(tmp_path, pad, prompt):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    provider = pytest.importorskip("compel.embeddings_provider")
    write_tokenizer(tmp_path, ["a b</w>", "w o", "wo r", "wor d</w>"], pad, max_length=77)
    reference = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        vocab_size=len(reference),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        eos_token_id=reference.eos_token_id,
    )
    encoder = transformers.CLIPTextModel(config).eval()
    compel = provider.EmbeddingsProvider(
        reference, encoder, truncate=False, split_long_text_mode=provider.SplitLongTextMode.BRUTAL
    )
    chunks = chunk(Tokenizer.from_folder(tmp_path), prompt)
    with torch.no_grad():
        expected = compel.get_embeddings_for_weighted_prompt_fragments([[prompt]], [[1.0]])[0].numpy()
        states = encoder(torch.from_numpy(chunks.ids).long()).last_hidden_state.numpy()
    found = states.reshape(-1, 32)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
