"""The tokenizers of a model, checked against the text encoders that they serve."""

from mdiff.errors import MdiffError
from mdiff.model.description import Description, TokenizerFiles
from mdiff.prompt import Tokenizer


def open_tokenizers(description: Description) -> tuple[Tokenizer, ...]:
    """Build the tokenizers, one for each text encoder; MdiffError where one knows more tokens than its encoder."""
    opened = []
    for files, part in zip(description.tokenizers, description.text_encoders, strict=True):
        tokenizer = open_tokenizer(files)
        vocabulary = part.config.get("vocab_size", 49408)
        if tokenizer.vocab_size > vocabulary:
            raise MdiffError(
                f"tokenizer {files.path} has {tokenizer.vocab_size} tokens, {part.name} takes {vocabulary}"
            )
        opened.append(tokenizer)
    return tuple(opened)


def open_tokenizer(files: TokenizerFiles) -> Tokenizer:
    """Build a tokenizer from its folder, or from OpenAI's vocabulary file."""
    build = Tokenizer.from_openai if files.path.is_file() else Tokenizer.from_folder
    return build(files.path, files.max_length, files.pad)
