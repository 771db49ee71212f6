"""Networks with random weights, and the inputs on which they are compared with the reference."""

import functools
from typing import Any

import numpy as np

from mdiff import device as devices
from tests.checkpoint import random_tensors
from tests.checkpoint_config import KINDS, VOCABULARY

# Latents that levels halve evenly, and odd ones that need the skip's size on the way up
SIZES = {"even": (2, 8, 12), "odd": (1, 9, 14)}


@functools.cache
def cpu_kernels() -> Any:
    """The CPU's formulations, the CPU being active."""
    cpu = devices.choose("cpu")
    devices.activate(cpu)
    return devices.kernels(cpu, devices.resolve_precision("fp32", cpu))


def component(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    """Class name and config of a component of one of the little checkpoints."""
    return KINDS[kind]["model_index"][name][1], KINDS[kind][name]


def whole(class_name: str, config: Any, kernels: Any) -> Any:
    """The cell of a component; an autoencoder with its encoder."""
    import mdiff.nn

    cell = getattr(mdiff.nn, class_name)(config, kernels)
    if class_name == "AutoencoderKL":
        cell.add_encoder(config, kernels)
    return cell


def build(kind: str, name: str, kernels: Any) -> Any:
    """The component as a cell that holds its random weights."""
    import mindspore as ms

    import mdiff.nn

    class_name, config = component(kind, name)
    tensors = random_tensors(class_name, config)
    cell = whole(class_name, config, kernels)
    parameters = mdiff.nn.renames(cell)
    assert set(parameters) == set(tensors)
    for key, parameter in parameters.items():
        assert tuple(parameter.shape) == tensors[key].shape
        parameter.set_data(ms.Tensor.from_numpy(tensors[key]).astype(parameter.dtype))
    return cell


def unet_inputs(kind: str, size: str) -> dict[str, np.ndarray]:
    """Sample, timesteps, context, and what the kind takes beyond them."""
    b, h, w = SIZES[size]
    config = KINDS[kind]["unet"]
    draw = np.random.default_rng(1).standard_normal
    inputs = {
        "sample": draw((b, 4, h, w), dtype=np.float32),
        "timesteps": np.array([999, 17], np.float32)[:b],
        "context": draw((b, 77, config["cross_attention_dim"]), dtype=np.float32),
    }
    if config.get("addition_embed_type") == "text_time":
        pooled = draw((b, 24), dtype=np.float32)
        sizes = np.array([[512, 768, 0, 8, 512, 768], [64, 64, 3, 0, 128, 64]], np.float32)[:b]
        inputs["added"] = np.concatenate([pooled, sizes], axis=1)
    if (width := config.get("time_cond_proj_dim")) is not None:
        inputs["condition"] = draw((b, width), dtype=np.float32)
    return inputs


def token_ids() -> np.ndarray:
    """Two rows of token ids, one short and padded, one full."""
    start, end = VOCABULARY - 2, VOCABULARY - 1
    ids = np.full((2, 77), end, np.int32)
    ids[:, 0] = start
    ids[0, 1:6] = np.arange(50, 55)
    ids[1, 1:76] = np.arange(100, 175)
    return ids


def latents() -> np.ndarray:
    """Latents that are not square."""
    return np.random.default_rng(2).standard_normal((1, 4, 3, 5), dtype=np.float32)


def pixels() -> np.ndarray:
    """An image in -1 to 1, not square, whose levels halve unevenly on the way down."""
    return np.random.default_rng(3).uniform(-1, 1, (1, 3, 24, 40)).astype(np.float32)


def error(given: np.ndarray, reference: np.ndarray) -> float:
    """Largest difference, relative to the reference's standard deviation."""
    assert given.shape == reference.shape
    return float(np.abs(given - reference).max() / reference.std())
