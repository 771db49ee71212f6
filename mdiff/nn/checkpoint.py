"""Parameters by the names that checkpoints give them."""

from mindspore import Parameter, nn


def renames(cell: nn.Cell) -> dict[str, Parameter]:
    """Return {name in the checkpoint: parameter} for every parameter of a network.

    The cells and what they hold are named as checkpoints name them, so the names agree but for the first parts that a
    network lists in its `checkpoint_names`.
    """
    moved = getattr(cell, "checkpoint_names", {})
    found = {}
    for name, parameter in cell.parameters_and_names():
        head, dot, rest = name.partition(".")
        found[moved.get(head, head) + dot + rest] = parameter
    return found


def ignored(network: nn.Cell | type[nn.Cell]) -> tuple[str, ...]:
    """How names of tensors begin that checkpoints of this network may hold and that mean nothing to it."""
    return getattr(network, "ignored_names", ())
