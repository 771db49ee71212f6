"""Write golden.json: ids that transformers' CLIPTokenizer gives on a small vocabulary.

Run with transformers 5.23 and tokenizers 0.22 or later: ``python -m tests.prompt.make_golden``
"""

import json
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

from mdiff.prompt.vocabulary import END, START, byte_letters
from tests.prompt.strings import strings

GOLDEN = Path(__file__).parent / "golden.json"
MERGES = 120


def learn_merges() -> list[str]:
    """Merge the most frequent pairs of some words, as BPE training does; letters stand for bytes."""
    letters = dict(zip([*range(33, 127), *range(161, 173), *range(174, 256)], byte_letters(), strict=False))
    text = " ".join(strings(400, seed=5)).lower().split()
    words = Counter(
        (*(letters.get(byte, "") for byte in word.encode()[:-1]), letters.get(word.encode()[-1], "") + "</w>")
        for word in text
    )
    merges = []
    for _ in range(MERGES):
        pairs: Counter = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                if all(piece not in ("", "</w>") for piece in pair):
                    pairs[pair] += count
        best = max(sorted(pairs), key=lambda pair: pairs[pair])
        merges.append(" ".join(best))
        words = Counter({_merged(word, best): count for word, count in words.items()})
    return merges


def _merged(word, pair):
    merged, place = [], 0
    while place < len(word):
        if word[place : place + 2] == pair:
            merged.append("".join(pair))
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return tuple(merged)


def write_tokenizer(folder: Path, merges: list[str], pad: str, max_length: int = 24) -> None:
    """Write a tokenizer folder as Stable Diffusion 1 (pad is the end token) or 2 (pad is "!") has it."""
    letters = byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(m.replace(" ", "") for m in merges), START, END]
    tokens = list(dict.fromkeys(tokens))
    folder.mkdir(parents=True, exist_ok=True)
    ids = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {
        "bos_token": {"content": START, **flags},
        "eos_token": {"content": END, **flags},
        "unk_token": {"content": END, **flags},
        "pad_token": pad,
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    config = {
        name: entry if isinstance(entry, str) else {"__type": "AddedToken", **entry} for name, entry in special.items()
    }
    config |= {
        "model_max_length": max_length,
        "tokenizer_class": "CLIPTokenizer",
        "do_lower_case": True,
        "errors": "replace",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def main() -> None:
    """Write the golden file."""
    from transformers import CLIPTokenizer

    merges = learn_merges()
    texts = strings(250, seed=1)
    texts = [text[:400] for text in texts]
    golden = {"merges": merges, "texts": texts}
    for name, pad in (("sd1", END), ("sd2", "!")):
        with tempfile.TemporaryDirectory() as folder:
            write_tokenizer(Path(folder), merges, pad)
            tokenizer = CLIPTokenizer.from_pretrained(folder)
            golden[name] = tokenizer(texts, padding="max_length", truncation=True).input_ids
    GOLDEN.write_text(json.dumps(golden, ensure_ascii=True, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
