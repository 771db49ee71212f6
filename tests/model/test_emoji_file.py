"""The bundled model's files: complete, small, half precision, and consistent with each other."""

import json
import struct
from pathlib import Path

import pytest

from mdiff.model.emoji import metric
from mdiff.model.emoji.evaluate import FOLDER

WEIGHTS = {
    "text_encoder": "model.safetensors",
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
}


def read(name: str):
    return json.loads((FOLDER / name).read_text())


def header(path: Path) -> dict:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(file.read(length))


def test_the_index_names_folders_that_exist():
    for name, value in read("model_index.json").items():
        if isinstance(value, list) and value[0] is not None:
            assert (FOLDER / name).is_dir(), name


def test_the_folder_stays_within_30_mb():
    files = [path for path in FOLDER.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 30e6


@pytest.mark.parametrize("part", sorted(WEIGHTS))
def test_weights_are_half_precision_and_finite(part):
    from safetensors.numpy import load_file

    path = FOLDER / part / WEIGHTS[part]
    assert {entry["dtype"] for name, entry in header(path).items() if name != "__metadata__"} == {"F16"}
    import numpy as np

    assert all(np.isfinite(tensor).all() and tensor.any() for tensor in load_file(path).values())


def test_the_parts_fit_each_other():
    text, unet, vae = read("text_encoder/config.json"), read("unet/config.json"), read("vae/config.json")
    tokens = read("tokenizer/tokenizer_config.json")
    vocabulary = read("tokenizer/vocab.json")
    assert unet["cross_attention_dim"] == text["hidden_size"]
    assert unet["in_channels"] == unet["out_channels"] == vae["latent_channels"]
    assert unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1) == vae["sample_size"]
    assert tokens["model_max_length"] == text["max_position_embeddings"]
    assert len(vocabulary) == text["vocab_size"]
    assert vocabulary[tokens["bos_token"]] == text["bos_token_id"]
    assert vocabulary[tokens["eos_token"]] == text["eos_token_id"]


def test_every_merge_makes_a_token_of_the_vocabulary():
    vocabulary = read("tokenizer/vocab.json")
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    lines = (FOLDER / "tokenizer" / "merges.txt").read_text().splitlines()[1:]
    assert all("".join(line.split(" ")) in vocabulary for line in lines)


def test_concepts_and_thumbnails_agree():
    concepts = metric.Concepts.load(FOLDER)
    assert len(concepts.entries) == len(concepts.thumbnails) >= 500
    assert len({entry["icon"] for entry in concepts.entries}) == len(concepts.entries)
    assert all(entry["captions"] for entry in concepts.entries)
    assert (concepts.thumbnails[..., 3].max(axis=(1, 2)) > 0.5).all(), "a drawing is empty"


def test_the_card_names_the_licences():
    card = (FOLDER / "README.md").read_text()
    assert card.count("Permission is hereby granted, free of charge") == 2
    assert "Microsoft Corporation" in card
    assert "Miles Johnson" in card
