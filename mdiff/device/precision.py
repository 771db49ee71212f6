"""What a requested precision means on a device."""

from dataclasses import dataclass

from mdiff.device.choice import Device
from mdiff.errors import MdiffError, nearest

FORMATS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Precision:
    """The number formats in effect.

    `weights` is what the values of the weights are rounded to, `compute` the format of the arithmetic of the text
    encoders and the UNet (and of their parameters in memory), `vae` that of the VAE; "float32", "float16" or
    "bfloat16". `substitutions` says in sentences where that differs from what was asked for.
    """

    requested: str
    weights: str
    compute: str
    vae: str
    substitutions: tuple[str, ...] = ()


def resolve_precision(requested: str, device: Device, *, force_upcast_vae: bool = False) -> Precision:
    """Return the formats for "auto", "fp32", "fp16" or "bf16" on `device`; MdiffError for another word.

    `force_upcast_vae` is the key `force_upcast` of the VAE's config: its activations overflow float16.
    """
    if requested not in ("auto", *FORMATS):
        raise MdiffError(f"precision {requested!r} is unknown{nearest(requested, ('auto', *FORMATS))}")
    if device.kind == "cpu":
        return _on_cpu(requested)
    notes = []
    number = "bfloat16" if requested == "auto" else FORMATS[requested]
    if number == "bfloat16" and not has_bfloat16(device):
        number = "float16"
        notes.append(f"{device.name} has no bfloat16 kernels: float16 is used in place of bfloat16")
    vae = number
    if number == "float16" and force_upcast_vae:
        vae = "float32"
        notes.append("the VAE's config asks for force_upcast: the VAE runs in float32")
    return Precision(requested, number, number, vae, tuple(notes))


def has_bfloat16(device: Device) -> bool:
    """Atlas A2 (910B) and later have bfloat16, the first generation (910, 910A, 910ProA, 310) has none."""
    if device.kind == "cpu":
        return False
    name = device.name.lower().replace("ascend", "").replace("_", "").strip()
    return not (name in ("910", "910a", "910pro", "910proa", "910prob") or name.startswith("310"))


def _on_cpu(requested: str) -> Precision:
    """The CPU computes in float32; rounding the weights shows what a coarser format does to them."""
    weights = "float32" if requested == "auto" else FORMATS[requested]
    notes: tuple[str, ...] = ()
    if weights != "float32":
        notes = (
            f"the CPU has no {weights} kernels worth using: the weights are rounded to {weights}, "
            "the arithmetic is float32",
        )
    return Precision(requested, weights, "float32", "float32", notes)
