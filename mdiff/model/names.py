"""Names that other exports give to tensors, read as the ones that the networks use."""

import re

from mdiff.weights import Weights
from mdiff.weights.view import Piece, View

# The VAE's attention had its own names before it became the UNet's (Stable Diffusion 1.x checkpoints still have them).
_VAE_ATTENTION = re.compile(r"((?:en|de)coder\.mid_block\.attentions\.0)\.(query|key|value|proj_attn)\.(weight|bias)")
_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# transformers 5 saves a CLIPTextModel without the prefix that every checkpoint before it has.
_TEXT = re.compile(r"(?:embeddings|encoder\.layers|final_layer_norm)\..+")
# Numbers 0, 1, 2 … that older transformers saved beside the weights
IGNORED = re.compile(r"(?:text_model\.)?embeddings\.position_ids")


def usual_names(weights: Weights) -> Weights:
    """Return the weights under the usual names; the very same object where they have no other."""
    names = {_usual(name): name for name in weights.names if not IGNORED.fullmatch(name)}
    if len(names) == len(weights.names) and all(new == old for new, old in names.items()):
        return weights
    return View(weights, {new: Piece(old) for new, old in names.items()})


def _usual(name: str) -> str:
    if _TEXT.fullmatch(name):
        return f"text_model.{name}"
    match = _VAE_ATTENTION.fullmatch(name)
    return name if match is None else f"{match[1]}.{_ATTENTION[match[2]]}.{match[3]}"
