"""A CLIP tokenizer of our own: byte-pair merges learnt from the captions, in CLIP's files and numbering."""

import itertools
import json
from collections import Counter
from pathlib import Path

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 24  # tokens a prompt, start and end included; the longest caption needs about 20


def byte_letters() -> list[str]:
    """The 256 printable letters that stand for bytes in GPT-2's and CLIP's vocabularies, in CLIP's order."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + i) for i in range(len(hidden))]


def merges_of(words: Counter, count: int) -> list[tuple[str, str]]:
    """Learn up to `count` merges, most frequent pair first, ties by spelling; words end in ``</w>``."""
    pieces = {word: (*word[:-1], word[-1] + "</w>") for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter = Counter()
        for word, parts in pieces.items():
            for pair in itertools.pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for word, parts in pieces.items():
            joined, i = [], 0
            while i < len(parts):
                if parts[i : i + 2] == best:
                    joined.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    joined.append(parts[i])
                    i += 1
            pieces[word] = tuple(joined)
    return merges


def write(folder: Path, words: Counter, merge_count: int = 3000) -> None:
    """Write CLIP's four tokenizer files for ASCII words."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = byte_letters()
    merges = merges_of(words, merge_count)
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges)]
    vocabulary = [*dict.fromkeys(vocabulary), START, END]
    ids = {token: i for i, token in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False, indent=0) + "\n")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
        "add_prefix_space": False,
        "errors": "replace",
        **special,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def caption_words(concepts: list[dict]) -> Counter:
    """Count the words of names and tags, with the words of the caption templates on top."""
    from mdiff.model.emoji.colour import NAMES

    words: Counter = Counter()
    for concept in concepts:
        for text in [*concept["captions"] * 3, *concept["tags"]]:
            words.update(text.split())
    template = "a an the of on at in with and small tiny little mirrored flipped background white black brown picture"
    for word in [*template.split(), "drawing", "emoji", "photo", "image", "big", "large", *NAMES]:
        words[word] += 1000
    return words
