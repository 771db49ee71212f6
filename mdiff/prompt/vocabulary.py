"""The files of a CLIP tokenizer: vocabulary, merges and special tokens, read and checked."""

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken

from mdiff.errors import MdiffError

START, END = "<|startoftext|>", "<|endoftext|>"
_NAMED = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
_MERGES_OF_CLIP = 49152 - 256 - 2


@dataclass(frozen=True)
class Vocabulary:
    """What a byte-level BPE needs: ids by token, merges in order, special tokens, the model's length in tokens.

    `special` are matched in a text before it is split, longest first; `named` gives the text of bos, eos, unk, pad.
    """

    ids: dict[str, int]
    merges: list[tuple[str, str]]
    special: tuple[AddedToken, ...]
    named: dict[str, str]
    max_length: int | None

    def id(self, name: str) -> int:
        """Id of ``"bos_token"``, ``"eos_token"``, ``"unk_token"`` or ``"pad_token"``."""
        return self.ids[self.named[name]]


def read_vocabulary(folder: Path) -> Vocabulary:
    """Read ``vocab.json`` and ``merges.txt`` (or ``tokenizer.json``) with the special tokens that the folder names.

    Precedence as in the transformers library: ``added_tokens_decoder`` of tokenizer_config.json where it has one, else
    special_tokens_map.json over tokenizer_config.json.
    """
    config = _read_json(folder / "tokenizer_config.json", optional=True)
    ids, merges, added = _read_model(folder)
    if "added_tokens_decoder" in config:
        added = _mapping(config["added_tokens_decoder"], folder).items()
    else:
        config = {**config, **_read_json(folder / "special_tokens_map.json", optional=True)}
    declared = {}
    for number, entry in added:
        token = _added_token(entry, folder)
        declared[token.content] = token
        if ids.setdefault(token.content, int(number)) != int(number):
            raise MdiffError(f"tokenizer {folder} gives {token.content!r} two ids: {ids[token.content]} and {number}")
    tokens, named = dict(declared), {}
    for name, default in _NAMED.items():
        entry = config.get(name, default)
        token = _added_token(entry, folder)
        named[name] = token.content
        if token.content not in ids:
            raise MdiffError(f"tokenizer {folder} has no {name} {token.content!r} in its vocabulary")
        tokens[token.content] = declared.get(token.content, token)  # of two spellings of one token the later holds
    length = config.get("model_max_length")
    usable = isinstance(length, int) and not isinstance(length, bool) and 2 < length < 1 << 20
    return Vocabulary(ids, merges, tuple(tokens.values()), named, length if usable else None)


def read_openai_vocabulary(path: Path) -> Vocabulary:
    """Read the merges that OpenAI published for CLIP (``bpe_simple_vocab_16e6.txt.gz``); the ids follow from them."""
    try:
        lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MdiffError(f"vocabulary {path} cannot be read: {error}") from None
    merges = _merges(lines[1 : 1 + _MERGES_OF_CLIP], path)
    letters = byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(a + b for a, b in merges), START, END]
    ids = {token: number for number, token in enumerate(tokens)}
    special = tuple(AddedToken(token, normalized=False, special=True) for token in (START, END))
    return Vocabulary(ids, merges, special, dict(_NAMED), 77)


def padded_with(vocabulary: Vocabulary, pad: str | None) -> Vocabulary:
    """The vocabulary with another padding token, which, as in transformers, is then special wherever it occurs."""
    if pad is None or pad == vocabulary.named["pad_token"]:
        return vocabulary
    if pad not in vocabulary.ids:
        raise MdiffError(f"the padding token {pad!r} is not in the vocabulary")
    special = (*vocabulary.special, AddedToken(pad, normalized=False, special=True))
    return replace(vocabulary, special=special, named={**vocabulary.named, "pad_token": pad})


def byte_letters() -> list[str]:
    """The letter that stands for each byte in byte-level BPE (Radford et al. 2019): printable ones for themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]


def _read_model(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]], Any]:
    """Return ids, merges and the added tokens (id, entry) of either layout."""
    if (folder / "vocab.json").exists() and (folder / "merges.txt").exists():
        ids = _read_json(folder / "vocab.json")
        merges = _merges(_read_text(folder / "merges.txt").split("\n"), folder / "merges.txt")
        added: list[tuple[Any, Any]] = []
    elif (folder / "tokenizer.json").exists():
        content = _read_json(folder / "tokenizer.json")
        model = _mapping(content.get("model"), folder / "tokenizer.json")
        ids = _mapping(model.get("vocab"), folder / "tokenizer.json")
        listed = model.get("merges")
        if not isinstance(listed, list):
            raise MdiffError(f"tokenizer {folder / 'tokenizer.json'} has no merges")
        pairs = [" ".join(entry) if isinstance(entry, list) else entry for entry in listed]
        merges = _merges(pairs, folder / "tokenizer.json")
        added = [(entry.get("id"), entry) for entry in content.get("added_tokens", [])]
    else:
        raise MdiffError(f"tokenizer {folder} has neither vocab.json with merges.txt nor tokenizer.json")
    if not ids or not all(isinstance(number, int) and number >= 0 for number in ids.values()):
        raise MdiffError(f"tokenizer {folder} has a vocabulary that does not map tokens to numbers")
    for left, right in merges:
        if not (left in ids and right in ids and left + right in ids):
            raise MdiffError(f"tokenizer {folder} merges {left!r} and {right!r}, which its vocabulary does not have")
    return dict(ids), merges, added


def _merges(lines: list[str], path: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#version") or not line.strip():
            continue
        parts = line.rstrip("\r").split(" ")
        if len(parts) != 2:
            raise MdiffError(f"tokenizer {path} line {number} is not a pair of tokens: {line[:60]!r}")
        merges.append((parts[0], parts[1]))
    return merges


def _added_token(entry: Any, folder: Path) -> AddedToken:
    if isinstance(entry, str):
        return AddedToken(entry, normalized=False, special=True)
    if isinstance(entry, dict) and isinstance(entry.get("content"), str):
        flags = {key: bool(entry[key]) for key in ("single_word", "lstrip", "rstrip") if key in entry}
        normalized = bool(entry.get("normalized", False))
        return AddedToken(entry["content"], normalized=normalized, special=bool(entry.get("special", True)), **flags)
    raise MdiffError(f"tokenizer {folder} has a special token that is no text: {entry!r}")


def _mapping(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MdiffError(f"tokenizer {path} has {type(value).__name__} where a JSON object belongs")
    return value


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise MdiffError(f"{path} is not UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise MdiffError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_json(path: Path, optional: bool = False) -> dict[str, Any]:
    if optional and not path.exists():
        return {}
    try:
        return _mapping(json.loads(_read_text(path)), path)
    except (ValueError, RecursionError) as error:
        raise MdiffError(f"{path} is not valid JSON: {error}") from None
