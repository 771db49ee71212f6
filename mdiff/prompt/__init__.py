"""Text to tokens, without MindSpore: CLIP's tokenizer, the prompt grammar, prompt files, the `prompt` group."""

from mdiff.prompt.chunk import Chunks, apply_weights, chunk, pad_to
from mdiff.prompt.emphasis import Part, parse_emphasis
from mdiff.prompt.file import read_prompt_file
from mdiff.prompt.prompts import Prompts
from mdiff.prompt.tokenizer import Tokenizer

__all__ = [
    "Chunks",
    "Part",
    "Prompts",
    "Tokenizer",
    "apply_weights",
    "chunk",
    "pad_to",
    "parse_emphasis",
    "read_prompt_file",
]
