"""A model of the Hugging Face Hub: its small files at once, its weights only when they are needed."""

from collections.abc import Callable
from dataclasses import dataclass

from mdiff.errors import MdiffError
from mdiff.model.description import TOKENIZER_FILES, Description
from mdiff.model.folder import INDEX, choose_variants, describe_folder, read_index, stem
from mdiff.model.names import usual_names
from mdiff.model.source import ModelSource
from mdiff.weights import Weights, open_weights, variants
from mdiff.weights.digest import file_digest
from mdiff.weights.files import combined_digest, file_names, shard_names
from mdiff.weights.hub import HubOptions, Repository, missing_files, open_repository


def describe_hub(source: ModelSource, options: HubOptions) -> Description:
    """Describe a Hub id; configs and tokenizers are downloaded, weights not before `Description.fetch` or `load`.

    Only files of the wanted variant and only safetensors are ever downloaded. Out of the Hub's reach the cache is used
    if everything is in it; else MdiffError names what is missing.
    """
    repository = open_repository(source.path, source.revision, options)
    if INDEX not in repository.files:
        raise _no_index(repository)
    folder = repository.fetch([INDEX])
    index = read_index(folder)
    store = HubWeights(repository)
    networks = [part for part in index.classes if part not in ("scheduler", "tokenizer", "tokenizer_2")]
    small = ["scheduler/scheduler_config.json", *(f"{part}/config.json" for part in networks)]
    for part in index.classes:
        if part.startswith("tokenizer"):
            small += store.tokenizer(part)
    chosen = choose_variants(repository.id, {part: store.names(part) for part in networks}, source.variant)
    if repository.unreachable is not None:  # what is not in the cache cannot come: name all of it at once
        wanted = [*small, *(name for part in networks for name in store.cached(part, chosen[part]))]
        repository.fetch(wanted)
    return describe_folder(source, repository.fetch(small), repository.commit, store)


@dataclass(frozen=True)
class HubWeights:
    """The weight files of a repository, downloaded when opened; their digests are known from the Hub before."""

    repository: Repository

    def names(self, part: str) -> list[str]:
        """Names of the files of a component."""
        prefix = f"{part}/"
        return [name.removeprefix(prefix) for name in self.repository.files if name.startswith(prefix)]

    def open(self, part: str, variant: str | None) -> tuple[Callable[[], Weights], Callable[[], str]]:
        """Return what downloads and opens the component's weights, and what tells their digest."""
        files = self.files(part, variant)

        def opened() -> Weights:
            folder = self.repository.fetch(files) / part
            return usual_names(open_weights(folder, stem(part), variant))

        return opened, lambda: self._digest(part, files)

    def files(self, part: str, variant: str | None) -> list[str]:
        """The names in the repository of the weight files of a component, with their index."""
        found = variants(self.names(part), stem(part)).get(variant)
        if found is None:
            raise MdiffError(self._lacks(part, variant))
        if not found.endswith(".json"):
            return [f"{part}/{found}"]
        index = self.repository.fetch([f"{part}/{found}"]) / part / found
        return [f"{part}/{found}", *(f"{part}/{name}" for name in sorted(shard_names(index)))]

    def cached(self, part: str, variant: str | None) -> list[str]:
        """As `files`, for the cache alone: the usual name where not even the index is there."""
        if variants(self.names(part), stem(part)).get(variant) is None:
            return [f"{part}/{file_names(stem(part), variant)[0]}"]
        return self.files(part, variant)

    def tokenizer(self, part: str) -> list[str]:
        """The tokenizer's files that are there; of those that it cannot do without, also the missing."""
        there = [f"{part}/{name}" for name in TOKENIZER_FILES if f"{part}/{name}" in self.repository.files]
        if f"{part}/tokenizer.json" in there:
            return there
        return list(dict.fromkeys([*there, f"{part}/vocab.json", f"{part}/merges.txt"]))

    def _digest(self, part: str, files: list[str]) -> str:
        digests = {}
        for name in files:
            if name.endswith(".json"):
                continue
            known = self.repository.files[name].sha256
            digests[name.rpartition("/")[2]] = known or file_digest(self.repository.fetch([name]) / name)
        return combined_digest(digests)

    def _lacks(self, part: str, variant: str | None) -> str:
        names = self.names(part)
        wanted = file_names(stem(part), variant)[0]
        available = [name for name in variants(names, stem(part)) if name is not None]
        if available:
            return (
                f"{part} of {self.repository.id} has no {wanted}, only the variant {', '.join(available)}: "
                "set model.variant to it"
            )
        if any(name.endswith((".bin", ".ckpt", ".pt")) for name in names):
            return (
                f"{part} of {self.repository.id} has only pickles, which can run code when loaded; mdiff reads "
                "safetensors only (another model.revision may have them)"
            )
        return f"{part} of {self.repository.id} has no weight file {wanted}"


def _no_index(repository: Repository) -> MdiffError:
    if repository.unreachable is not None:
        return missing_files(repository.id, repository.revision, [INDEX], [], repository.unreachable)
    single = [name for name in repository.files if name.endswith(".safetensors") and "/" not in name]
    if single:
        return MdiffError(
            f"{repository.id} has no {INDEX}; for one of its single files ({', '.join(single[:3])}) download it and "
            "set model.path to the file"
        )
    if any(name.endswith((".ckpt", ".bin", ".pt")) for name in repository.files):
        return MdiffError(f"{repository.id} has only pickles, which can run code when loaded; safetensors are needed")
    return MdiffError(f"{repository.id} has no {INDEX}, so it is no model in the Hugging Face layout")
