"""Complete little checkpoints in the Hugging Face layout with random weights, for every test that needs a model.

Numpy and safetensors only. The weights come from the seed and the tensor's name, so that a checkpoint is made again
rather than stored; they are scaled so that activations stay of order one.
"""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.checkpoint_config import KINDS
from tests.shape import tensor_shapes

STEMS = {"text_encoder": "model", "text_encoder_2": "model"}
OTHER_STEM = "diffusion_pytorch_model"
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def make_checkpoint(
    folder: Path | str,
    kind: str = "sd15-tiny",
    seed: int = 0,
    dtype: str = "float32",
    sharded: bool = False,
    variant: str | None = None,
) -> Path:
    """Write a checkpoint of one of `KINDS` to `folder` and return the folder.

    `dtype` is that of the stored weights, `sharded` splits the UNet into three files with an index, `variant` ("fp16")
    becomes part of the weight files' names.
    """
    folder = Path(folder)
    parts = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "model_index.json", parts["model_index"])
    for name, entry in parts["model_index"].items():
        if name.startswith("_") or not isinstance(entry, list) or entry[0] is None:
            continue
        path = folder / name
        path.mkdir(exist_ok=True)
        if name == "scheduler":
            _write_json(path / "scheduler_config.json", parts["scheduler"])
        elif name.startswith("tokenizer"):
            write_tokenizer(path)
        else:
            _write_json(path / "config.json", parts[name])
            tensors = random_tensors(entry[1], parts[name], seed)
            stem = STEMS.get(name, OTHER_STEM)
            _write_weights(path, stem, tensors, dtype, 3 if sharded and name == "unet" else 1, variant)
    return folder


def random_tensors(class_name: str, config: Mapping[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random float32 weights for a component: {name: array}, the same for the same seed and name everywhere."""
    return {name: _random(name, shape, seed) for name, shape in tensor_shapes(class_name, config).items()}


def _random(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    draw = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape, dtype=np.float32)
    if len(shape) == 1:  # biases about 0, the weights of norms about 1
        return np.float32(name.endswith(".weight")) + np.float32(0.1) * draw
    if "embedding.weight" in name:
        return draw
    return draw * np.float32(1 / np.sqrt(np.prod(shape[1:])))


def write_tokenizer(path: Path) -> None:
    """CLIP's tokenizer files with the 256 bytes, a handful of merges and the two special tokens: 520 tokens."""
    letters = _byte_letters()
    merges = [("c", "a"), ("ca", "t</w>"), ("d", "o"), ("do", "g</w>"), ("t", "h"), ("th", "e</w>")]
    tokens = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    _write_json(path / "vocab.json", {token: i for i, token in enumerate(tokens)})
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    end = {"content": "<|endoftext|>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {"bos_token": {**end, "content": "<|startoftext|>"}, "eos_token": end, "unk_token": end}
    _write_json(path / "special_tokens_map.json", {**special, "pad_token": "<|endoftext|>"})
    _write_json(
        path / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "do_lower_case": True,
            "add_prefix_space": False,
            "errors": "replace",
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
        },
    )


def _byte_letters() -> list[str]:
    """A printable character for each byte, in the order of CLIP's vocabulary."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]


def _write_weights(
    path: Path, stem: str, tensors: dict[str, np.ndarray], dtype: str, files: int, variant: str | None
) -> None:
    names = sorted(tensors)
    middle = "" if variant is None else f".{variant}"
    if files == 1:
        _save(path / f"{stem}{middle}.safetensors", tensors, names, dtype)
        return
    places = {}
    for i in range(files):
        part = names[i::files]
        file = f"{stem}{middle}-{i + 1:05d}-of-{files:05d}.safetensors"
        _save(path / file, tensors, part, dtype)
        places.update(dict.fromkeys(part, file))
    size = sum(tensors[name].size for name in names) * (4 if dtype == "float32" else 2)
    index = {"metadata": {"total_size": size}, "weight_map": dict(sorted(places.items()))}
    _write_json(path / f"{stem}.safetensors.index{middle}.json", index)


def _save(path: Path, tensors: dict[str, np.ndarray], names: list[str], dtype: str) -> None:
    if dtype != "bfloat16":
        save_file({name: tensors[name].astype(dtype) for name in names}, path, metadata={"format": "pt"})
        return
    # numpy has no bfloat16: the header is written by hand, the values are the upper halves, rounded to nearest even
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data, begin = [], 0
    for name in names:
        bits = tensors[name].view(np.uint32)
        half = ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype("<u2").tobytes()
        shape = list(tensors[name].shape)
        header[name] = {"dtype": DTYPES[dtype], "shape": shape, "data_offsets": [begin, begin + len(half)]}
        data.append(half)
        begin += len(half)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data))


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
