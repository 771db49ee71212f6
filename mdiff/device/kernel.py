"""The formulations of a device: what every cell of a network computes with."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mdiff.device.choice import Device
from mdiff.device.precision import Precision, has_bfloat16


@dataclass(frozen=True)
class Kernels:
    """One formulation of each operation, all for one device and one number format.

    `conv2d`, the norms and the attentions take what is fixed about a layer and return what runs; the others run
    directly. Shapes are documented at `mdiff.device.portable`, whose functions have the same signatures.
    `dtype` is that of the weights as well as of the activations between layers.
    """

    name: str
    dtype: str
    conv2d: Callable[..., Any]
    linear: Callable[..., Any]
    linear_from_pixels: Callable[..., Any]
    linear_to_pixels: Callable[..., Any]
    group_norm: Callable[..., Any]
    layer_norm: Callable[..., Any]
    add_shift: Callable[..., Any]
    silu: Callable[..., Any]
    gelu: Callable[..., Any]
    quick_gelu: Callable[..., Any]
    upsample_nearest: Callable[..., Any]
    pad_asymmetric: Callable[..., Any]
    embedding: Callable[..., Any]
    attention: Callable[..., Any]
    sliced_attention: Callable[..., Any]
    masked_attention: Callable[..., Any]


def kernels(device: Device, precision: Precision, dtype: str | None = None, sliced: bool = False) -> Kernels:
    """Choose the formulations for a device; `dtype` overrides `precision.compute` (the VAE takes `precision.vae`).

    With `sliced`, attention by matrix products takes the queries in smaller parts; the fused one stores no scores.
    """
    number = precision.compute if dtype is None else dtype
    if device.kind == "ascend":
        from mdiff.device.ascend import ascend_kernels

        chosen = ascend_kernels(number, flash=has_bfloat16(device))  # the same generations have both
    else:
        chosen = cpu_kernels(number)
    return replace(chosen, attention=chosen.sliced_attention) if sliced else chosen


def portable_kernels(dtype: str = "float32") -> Kernels:
    """The plain formulations, on whatever device is active."""
    from mdiff.device import portable

    return Kernels(
        name="portable",
        dtype=dtype,
        conv2d=portable.conv2d,
        linear=portable.linear,
        linear_from_pixels=portable.linear_from_pixels,
        linear_to_pixels=portable.linear_to_pixels,
        group_norm=portable.group_norm,
        layer_norm=portable.layer_norm,
        add_shift=portable.add_shift,
        silu=portable.silu,
        gelu=portable.gelu,
        quick_gelu=portable.quick_gelu,
        upsample_nearest=portable.upsample_nearest,
        pad_asymmetric=portable.pad_asymmetric,
        embedding=portable.embedding,
        attention=portable.attention,
        sliced_attention=portable.sliced_attention,
        masked_attention=portable.attention,
    )


def cpu_kernels(dtype: str = "float32") -> Kernels:
    """The CPU's formulations; half precision, which only tests ask for, keeps to the plain ones."""
    if dtype != "float32":
        return portable_kernels(dtype)
    from mdiff.device import cpu, portable

    return Kernels(
        name="cpu",
        dtype=dtype,
        conv2d=cpu.conv2d,
        linear=cpu.linear,
        linear_from_pixels=cpu.linear_from_pixels,
        linear_to_pixels=cpu.linear_to_pixels,
        group_norm=cpu.group_norm,
        layer_norm=cpu.layer_norm,
        add_shift=cpu.add_shift,
        silu=cpu.silu,
        gelu=cpu.gelu,
        quick_gelu=portable.quick_gelu,
        upsample_nearest=cpu.upsample_nearest,
        pad_asymmetric=portable.pad_asymmetric,
        embedding=portable.embedding,
        attention=cpu.attention,
        sliced_attention=cpu.sliced_attention,
        masked_attention=cpu.attention,
    )
