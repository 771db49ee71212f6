"""Whether an image is the same as before, how far it is where not, and which settings moved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mdiff.report.fidelity import mse, psnr, ssim, statistic
from mdiff.report.grid import ABSENT, APART
from mdiff.report.raster import digest, pixels, read_rgb
from mdiff.report.record import leaves, shorten

# How a run behaves, where its results go and how many images share a call say nothing about what was asked for.
_APART = APART | {"engine", "num_images"}


@dataclass(frozen=True)
class Comparison:
    """Identical, or the distance in PSNR (dB) and SSIM; both None where the sizes differ. `edited`: the old file is
    not the picture that its recipe names."""

    identical: bool
    psnr: float | None
    ssim: float | None
    sizes: tuple[tuple[int, int], tuple[int, int]]
    sha256: str
    edited: bool

    def __str__(self) -> str:
        if self.identical:
            return f"identical: sha256 {self.sha256}"
        if self.psnr is None:
            (a, b), (c, d) = self.sizes
            return f"different sizes: {a} x {b} then, {c} x {d} now"
        seen = "" if self.ssim is None else f", SSIM {self.ssim:.4f}"
        return f"different: PSNR {self.psnr:.2f} dB{seen}"


def compare(before: Image.Image, made: Path, sha256: str | None) -> Comparison:
    """Compare a new file with the old picture, and with the sha256 of RGB bytes that its recipe names."""
    after = read_rgb(made)
    found, own = digest(after), digest(before)
    wanted = own if sha256 is None else sha256
    sizes = (before.size, after.size)
    edited = own != wanted
    if found == wanted:
        return Comparison(True, None, None, sizes, found, edited)
    if before.size != after.size:
        return Comparison(False, None, None, sizes, found, edited)
    old, new = pixels(before), pixels(after)
    old_statistic, new_statistic = statistic(old), statistic(new)
    similarity = ssim(old_statistic, new_statistic) if old_statistic is not None and new_statistic is not None else None
    return Comparison(False, psnr(mse(old, new)), similarity, sizes, found, edited)


def differences(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return a sentence for every leaf of `before` and `after` that is not the same in both."""
    old, new = leaves(before), leaves(after)
    return [
        f"{kind}: {printable(name)} was {printable(old.get(name, ABSENT))}, is {printable(new.get(name, ABSENT))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name, ABSENT) != new.get(name, ABSENT)
    ]


def settings_that_differ(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the differences of two resolved configs in what decides a picture."""
    old, new = ({name: part for name, part in each.items() if name not in _APART} for each in (before, after))
    return differences("setting", old, new)


def printable(text: str) -> str:
    """Return text of a stranger's as a terminal may have it: in one line, no control characters, of bounded length."""
    return shorten(text if text.isprintable() else repr(text), 300)
