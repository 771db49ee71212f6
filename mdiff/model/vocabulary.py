"""CLIP's vocabulary for checkpoints that come without one."""

from importlib.util import find_spec
from pathlib import Path

from mdiff.errors import MdiffError
from mdiff.model.source import ModelSource
from mdiff.weights.hub import HubOptions, is_hub_id, open_repository

CLIP = "openai/clip-vit-large-patch14"
_FILES = ("vocab.json", "merges.txt")
_OPENAI = "bpe_simple_vocab_16e6.txt.gz"


def find_vocabulary(source: ModelSource, hub: HubOptions) -> Path:
    """Return a tokenizer's folder or OpenAI's vocabulary file.

    `source.tokenizer` where it is given (a folder, the file, or a Hub id); else the file that the package
    open_clip_torch has, else OpenAI's repository on the Hub. MdiffError says what to do where there is none of them.
    """
    if source.tokenizer is not None:
        path = Path(source.tokenizer).expanduser()
        if path.is_dir() and (path / "tokenizer").is_dir():
            return path / "tokenizer"
        if path.exists():
            return path
        if not is_hub_id(source.tokenizer):
            raise MdiffError(f"model.tokenizer is {source.tokenizer!r}: there is no such folder, and it is no Hub id")
        return _from_hub(source.tokenizer, hub)
    spec = find_spec("open_clip")
    if spec is not None and spec.origin is not None and (Path(spec.origin).parent / _OPENAI).exists():
        return Path(spec.origin).parent / _OPENAI
    try:
        return _from_hub(CLIP, hub)
    except MdiffError as error:
        raise MdiffError(
            f"{source.path} holds no tokenizer: set model.tokenizer to a folder with {' and '.join(_FILES)} of any "
            f"Stable Diffusion model, or `pip install open_clip_torch --no-deps`; {error}"
        ) from None


def _from_hub(repo_id: str, hub: HubOptions) -> Path:
    repository = open_repository(repo_id, None, hub)
    for prefix in ("", "tokenizer/"):
        names = [prefix + name for name in _FILES]
        if repository.has(names):
            more = (f"{prefix}tokenizer_config.json", f"{prefix}special_tokens_map.json")
            extra = [name for name in more if name in repository.files]
            return repository.fetch([*names, *extra]) / prefix
    raise MdiffError(f"{repo_id} has no {' and '.join(_FILES)}")
