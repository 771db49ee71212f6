"""Each operation of the device layer in numpy float64, written from its definition."""

import math

import numpy as np

_erf = np.vectorize(math.erf, otypes=[np.float64])


def conv2d(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """Cross-correlation of x (B, C, h, w) with weight (O, C, k, k)."""
    kernel = weight.shape[-1]
    spaced = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(spaced, (kernel, kernel), (2, 3))  # type: ignore[call-overload]
    windows = windows[:, :, ::stride, ::stride]  # (B, C, h', w', k, k)
    return np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True) + bias[:, None, None]


def group_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, groups: int, eps: float) -> np.ndarray:
    """Zero mean and unit variance over each image's groups of channels, then scale and shift a channel."""
    grouped = x.reshape(x.shape[0], groups, -1)
    centred = grouped - grouped.mean(-1, keepdims=True)
    normal = (centred / np.sqrt(centred.var(-1, keepdims=True) + eps)).reshape(x.shape)
    return normal * weight[:, None, None] + bias[:, None, None]


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    """Zero mean and unit variance over the last axis, then scale and shift."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt(centred.var(-1, keepdims=True) + eps) * weight + bias


def silu(x: np.ndarray) -> np.ndarray:
    """x times its logistic function."""
    return x / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution function."""
    return x * 0.5 * (1 + _erf(x / math.sqrt(2)))


def quick_gelu(x: np.ndarray) -> np.ndarray:
    """x times the logistic function of 1.702 x."""
    return x / (1 + np.exp(-1.702 * x))


def upsample_nearest(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Row i of the result is row floor(i · h / height) of x (B, C, h, w)."""
    rows = np.arange(height) * x.shape[2] // height
    columns = np.arange(width) * x.shape[3] // width
    return x[:, :, rows][:, :, :, columns]


def attention(q: np.ndarray, k: np.ndarray, v: np.ndarray, heads: int, causal: bool = False) -> np.ndarray:
    """Multi-head attention of tokens q (B, S, H·D) to k, v (B, T, H·D)."""

    def split(x: np.ndarray) -> np.ndarray:
        return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(0, 2, 1, 3)

    q, k, v = split(q), split(k), split(v)
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(q.shape[-1])
    if causal:
        scores = np.where(np.tri(scores.shape[-2], scores.shape[-1]).astype(bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ v
    return mixed.transpose(0, 2, 1, 3).reshape(mixed.shape[0], mixed.shape[2], -1)
