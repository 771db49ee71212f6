"""What varies in a folder of cells: the keys that tell its images from each other, and each image's place."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mdiff.report.record import Cell, display, natural, shorten

ABSENT = "—"
IMAGE_KEYS = ("prompt", "negative prompt", "seed", "size", "cell")

# Where results go and how a run behaves says nothing about an image; prompt, seed and size come from the images.
APART = {"hydra", "output", "name", "resume", "on_error", "dry_run", "profile", "objective", "reference"}
_OF_IMAGE = {"prompt", "seed", "num_images", "width", "height"}


@dataclass(frozen=True)
class Key:
    """A key with more than one value, its values as shown and in order."""

    name: str
    values: tuple[str, ...]
    numeric: bool


@dataclass(frozen=True)
class Item:
    """One image of the contact sheet, or the place of one that failed (`picture` is None)."""

    cell: int
    picture: int | None
    prompt: str
    negative_prompt: str
    seed: str
    size: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Grid:
    """The keys that vary, every image's value of each, and the axes that a contact sheet starts with."""

    keys: tuple[Key, ...]
    items: tuple[Item, ...]
    row: str | None
    column: str | None

    def index(self, name: str) -> int:
        """Return the position of a key."""
        return [key.name for key in self.keys].index(name)

    def setting(self, item: Item) -> tuple[tuple[str, str], ...]:
        """Return what varies about an image besides its prompt, seed and size."""
        pairs = zip(self.keys, item.values, strict=True)
        return tuple((key.name, value) for key, value in pairs if key.name not in IMAGE_KEYS)


def make_grid(cells: Sequence[Cell]) -> Grid:
    """Find the keys that vary among the cells that have a record, and place every image."""
    usable = [index for index, cell in enumerate(cells) if cell.record]
    columns = _setting_columns([cells[index] for index in usable])
    items = [item for index in usable for item in _items(index, cells[index])]
    of_cell = {index: {name: values[at] for name, values in columns.items()} for at, index in enumerate(usable)}
    rows: list[dict[str, str]] = []
    for item in items:
        image = {"prompt": item.prompt, "negative prompt": item.negative_prompt, "seed": item.seed, "size": item.size}
        rows.append({**of_cell[item.cell], **image})
    if len({tuple(row.values()) for row in rows}) < len(rows):
        # Nothing in the settings tells some images apart (the same run made twice): the folder does.
        for item, row in zip(items, rows, strict=True):
            row["cell"] = cells[item.cell].name
    names = list(rows[0]) if rows else []
    keys = tuple(_key(name, (row[name] for row in rows)) for name in names if len({row[name] for row in rows}) > 1)
    placed = tuple(
        replace(item, values=tuple(row[key.name] for key in keys)) for item, row in zip(items, rows, strict=True)
    )
    return Grid(keys, placed, *_axes(keys))


def _setting_columns(cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Return the leaves that vary, one value a cell; a leaf that another of its group implies is left out."""
    flat = [dict(cell.settings) for cell in cells]
    _name_groups(cells, flat)
    names = dict.fromkeys(name for leaves in flat for name in leaves)
    columns: dict[str, list[str]] = {}
    for name in names:
        if name.split(".")[0] in APART | _OF_IMAGE:
            continue
        values = [leaves.get(name, ABSENT) for leaves in flat]
        if len(set(values)) > 1:
            columns[name] = values
    kept: dict[str, list[str]] = {}
    groups = list(dict.fromkeys(name.split(".")[0] for name in names))
    for name in sorted(columns, key=lambda name: (groups.index(name.split(".")[0]), _precedence(name))):
        group = name.split(".")[0]
        if any(other.split(".")[0] == group and _implies(kept[other], columns[name]) for other in kept):
            continue
        head, _, last = name.rpartition(".")
        label = head if last in ("name", "_target_") and head and head not in kept else name
        kept[label] = _short_targets(columns[name]) if last == "_target_" else columns[name]
    return kept


def _name_groups(cells: Sequence[Cell], flat: Sequence[dict[str, str]]) -> None:
    """Add the file that a group was chosen by (``scheduler.name: heun``) where a record of the same options says it.

    Cells that no record names are called by their class.
    """
    for group in dict.fromkeys(name for cell in cells for name in cell.mapping("varies")):
        if any(f"{group}.name" in leaves for leaves in flat):
            continue
        options = [tuple(leaf for leaf in leaves.items() if leaf[0].startswith(f"{group}.")) for leaves in flat]
        known: dict[tuple[tuple[str, str], ...], str] = {}
        for cell, option in zip(cells, options, strict=True):
            chosen = cell.mapping("varies").get(group)
            if option and isinstance(chosen, str):
                known.setdefault(option, shorten(chosen, 200))
        classes = [leaves.get(f"{group}._target_", "null") for leaves in flat]
        if not known or (len(set(classes)) == 1 and not all(option in known for option in options)):
            continue  # nothing says how to call the others
        for leaves, option, name in zip(flat, options, _short_targets(classes), strict=True):
            leaves[f"{group}.name"] = known.get(option, name)


def _precedence(name: str) -> int:
    """A group's name says most about it, then its class, then its options."""
    last = name.rpartition(".")[2]
    return 0 if last == "name" else 1 if last == "_target_" else 2


def _implies(known: Sequence[str], other: Sequence[str]) -> bool:
    return len(set(zip(known, other, strict=True))) == len(set(known))


def _short_targets(values: Sequence[str]) -> list[str]:
    short = {value: value.rpartition(".")[2].removesuffix("Scheduler") or value for value in values}
    if "null" in short:
        short["null"] = "default"  # what the checkpoint names
    return [short[value] for value in values] if len(set(short.values())) == len(short) else list(values)


def _items(index: int, cell: Cell) -> Iterable[Item]:
    if cell.pictures:
        for number, picture in enumerate(cell.pictures):
            seed = ABSENT if picture.seed is None else str(picture.seed)
            size = ABSENT if picture.width is None else f"{picture.width} × {picture.height}"
            yield Item(index, number, picture.prompt, picture.negative_prompt, seed, size)
        return
    requested = cell.mapping("requested")
    prompt = requested.get("prompt")
    text = prompt.get("text") if isinstance(prompt, dict) else None
    negative = prompt.get("negative") if isinstance(prompt, dict) else None
    first, count = requested.get("seed"), requested.get("num_images")
    size = f"{display(requested.get('width'))} × {display(requested.get('height'))}"
    for entry in (text if isinstance(text, list) else [text])[:16]:
        for offset in range(min(count, 16) if type(count) is int else 1):
            seed = str(first + offset) if type(first) is int else ABSENT
            shown = shorten(entry) if isinstance(entry, str) else ABSENT
            yield Item(index, None, shown, shorten(negative) if isinstance(negative, str) else "", seed, size)


def _key(name: str, values: Iterable[str]) -> Key:
    distinct = set(values)
    numbers = {value: _number(value) for value in distinct if value not in (ABSENT, "null")}
    known = {value: number for value, number in numbers.items() if number is not None}
    if known and len(known) == len(numbers):
        return Key(name, tuple(sorted(distinct, key=lambda value: known.get(value, 0.0))), True)
    return Key(name, tuple(sorted(distinct, key=natural)), False)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _axes(keys: Sequence[Key]) -> tuple[str | None, str | None]:
    """Columns: the number that varies most, such as steps. Rows: the choice that varies most, such as scheduler."""

    def first(names: Iterable[tuple[int, int, str]]) -> str | None:
        return min(names, default=(0, 0, None))[2]

    column = first((key.name in IMAGE_KEYS, -len(key.values), key.name) for key in keys if key.numeric)
    row = first((key.name in IMAGE_KEYS, -len(key.values), key.name) for key in keys if key.name != column)
    if column is None and row is not None:
        others = [key for key in keys if key.name != row]
        column = first((key.name in IMAGE_KEYS, -len(key.values), key.name) for key in others)
    return (None, row) if column is None else (row, column)
