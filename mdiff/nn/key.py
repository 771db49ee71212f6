"""One key of a config.json: its default and the values that the cells follow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mdiff.errors import MdiffError, nearest


@dataclass(frozen=True)
class Key:
    """A supported key; `accepts` says whether a value is one the cells follow, `expects` names those values."""

    default: Any
    accepts: Callable[[Any], bool]
    expects: str


def fixed(value: Any, *also: Any) -> Key:
    """A key that exists in the format, of which only the default (and its synonyms) is followed."""
    allowed = (value, *also)
    return Key(value, lambda given: any(_same(given, each) for each in allowed), " or ".join(map(repr, allowed)))


def one_of(default: Any, *also: Any) -> Key:
    """A key with a handful of values."""
    return fixed(default, *also)


def inert(default: Any = None) -> Key:
    """A key that has no effect on what a trained network computes."""
    return Key(default, lambda given: True, "anything")


def flag(default: bool) -> Key:
    """True or false."""
    return Key(default, lambda given: isinstance(given, bool), "true or false")


def count(default: int | None) -> Key:
    """A positive integer; null as well where that is the default."""
    return Key(default, lambda given: is_count(given) or (default is None and given is None), "a positive integer")


def number(default: float | None) -> Key:
    """A number; null as well where that is the default."""
    return Key(default, lambda given: is_number(given) or (default is None and given is None), "a number")


def counts(default: Any) -> Key:
    """A positive integer, or a list of one for each level."""
    return Key(default, lambda given: is_count(given) or is_counts(given), "a positive integer or a list of them")


def names(default: Sequence[str], choices: Sequence[str]) -> Key:
    """A list of block types, one for each level."""
    return Key(
        tuple(default),
        lambda given: is_list(given) and len(given) > 0 and all(each in choices for each in given),
        "a list of " + " and ".join(choices),
    )


def is_list(value: Any) -> bool:
    """Whether JSON has a list there."""
    return isinstance(value, (list, tuple))


def is_count(value: Any) -> bool:
    """Whether the value is a positive integer (true is none)."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_counts(value: Any) -> bool:
    """Whether the value is a list of positive integers."""
    return is_list(value) and len(value) > 0 and all(map(is_count, value))


def is_number(value: Any) -> bool:
    """Whether the value is a finite number (true is none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def checked(class_name: str, keys: Mapping[str, Key], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with the defaults filled in; keys that begin with an underscore say where a file came from."""
    if not isinstance(config, Mapping):
        raise MdiffError(f"the config of {class_name} is a {type(config).__name__}, not a mapping of keys to values")
    stated = config.get("_class_name")
    if stated is not None and stated != class_name:
        raise MdiffError(f"a {class_name} was asked for, but its config.json describes a {stated}")
    values = {name: key.default for name, key in keys.items()}
    for name, value in config.items():
        if name.startswith("_"):
            continue
        if name not in keys:
            raise MdiffError(f"{class_name}: config key {name!r} = {value!r} is not supported{nearest(name, keys)}")
        if not keys[name].accepts(value):
            raise MdiffError(
                f"{class_name}: config key {name!r} = {value!r} is not supported; expected {keys[name].expects}"
            )
        values[name] = value
    return values


def per_level(class_name: str, name: str, value: Any, levels: int) -> tuple:
    """Spread a single value over the levels, or check that a list has one for each."""
    if not is_list(value):
        return (value,) * levels
    if len(value) != levels:
        raise MdiffError(f"{class_name}: config key {name!r} has {len(value)} entries for {levels} levels")
    return tuple(value)


def check_divides(class_name: str, what: str, divisor: int, name: str, widths: Sequence[int]) -> None:
    """Every width must be a multiple of `divisor`."""
    for width in widths:
        if width % divisor:
            raise MdiffError(f"{class_name}: {name} has {width} channels, which {what} = {divisor} does not divide")


def _same(given: Any, allowed: Any) -> bool:
    """Equality that tells 1 from true, but takes 1 for 1.0 and a list for a tuple."""
    if isinstance(given, bool) != isinstance(allowed, bool):
        return False
    if is_list(given) and is_list(allowed):
        return tuple(given) == tuple(allowed)
    return given == allowed
