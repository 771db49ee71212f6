"""CLIP's byte-level BPE (Radford et al. 2021), by the `tokenizers` library: the ids that transformers gives."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from mdiff.errors import MdiffError
from mdiff.prompt.vocabulary import Vocabulary, padded_with, read_openai_vocabulary, read_vocabulary

# A word, a digit, a run of other signs, or one of CLIP's own pieces; what lies between (white space) is dropped.
_PIECES = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """Texts to ids. `max_length` counts the start and the end token; `pad_id` fills what is left."""

    def __init__(self, vocabulary: Vocabulary, max_length: int | None = None):
        lengths = [length for length in (vocabulary.max_length, max_length) if length is not None]
        self.max_length = min(lengths, default=77)
        self.bos_id, self.eos_id = vocabulary.id("bos_token"), vocabulary.id("eos_token")
        self.pad_id = vocabulary.id("pad_token")
        self.vocab_size = max(vocabulary.ids.values()) + 1
        model = models.BPE(
            vocab=vocabulary.ids,
            merges=vocabulary.merges,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
            unk_token=vocabulary.named["unk_token"],
        )
        self._bpe = tokenizers.Tokenizer(model)
        self._bpe.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        self._bpe.add_tokens(list(vocabulary.special))

    @classmethod
    def from_folder(cls, folder: Path, max_length: int | None = None, pad: str | None = None) -> "Tokenizer":
        """Build from a ``tokenizer`` folder of the Hugging Face layout.

        `max_length` is what the text encoder takes, `pad` a padding token to use in place of the folder's.
        """
        return cls(padded_with(read_vocabulary(Path(folder)), pad), max_length)

    @classmethod
    def from_openai(cls, path: Path, max_length: int | None = None, pad: str | None = None) -> "Tokenizer":
        """Build from OpenAI's ``bpe_simple_vocab_16e6.txt.gz``."""
        return cls(padded_with(read_openai_vocabulary(Path(path)), pad), max_length)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return ids (n, S) int32: start, at most S − 2 tokens of the text, end, padding."""
        if isinstance(texts, str):
            texts = [texts]
        return np.stack([self.frame(self.ids(text)) for text in texts])

    def ids(self, text: str) -> list[int]:
        """All tokens of the text, without start and end."""
        return self._encode(text).ids

    def frame(self, ids: Sequence[int]) -> np.ndarray:
        """Put tokens between start and end, cut to what fits, and pad: (S,) int32."""
        room = self.max_length - 2
        framed = [self.bos_id, *ids[:room], self.eos_id]
        return np.array(framed + [self.pad_id] * (self.max_length - len(framed)), np.int32)

    def dropped(self, text: str) -> str:
        """Return the end of the text that does not fit and is not seen by the model; empty where all fits."""
        encoding = self._encode(text)
        room = self.max_length - 2
        if len(encoding.ids) <= room:
            return ""
        return text[encoding.offsets[room][0] :]

    def _encode(self, text: str) -> tokenizers.Encoding:
        try:
            return self._bpe.encode(text, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError):
            raise MdiffError(f"the prompt {text!r} is not text of valid Unicode") from None
