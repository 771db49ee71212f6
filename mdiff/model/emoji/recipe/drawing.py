"""Drawings as arrays: from SVG to RGBA at two sizes, then onto backgrounds, recoloured or mirrored."""

import io
import json
from pathlib import Path

import numpy as np

from mdiff.model.emoji.colour import COLOURS, WHITE

CANVAS = 64
# Pixels that the 32-unit drawing box covers; the margin that is left makes the background's colour readable.
SIZES = (58, 34)


def render(svg_body: str, size: int, box: int = 32) -> np.ndarray:
    """Rasterise the body of an icon centred on a transparent canvas: (64, 64, 4) float32 in 0…1, premultiplied."""
    import cairosvg
    from PIL import Image

    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {box} {box}">{svg_body}</svg>'
    png = cairosvg.svg2png(svg.encode(), output_width=size * 4, output_height=size * 4)
    rgba = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), dtype=np.float32) / 255
    rgba[..., :3] *= rgba[..., 3:]
    small = rgba.reshape(size, 4, size, 4, 4).mean(axis=(1, 3))
    canvas = np.zeros((CANVAS, CANVAS, 4), np.float32)
    margin = (CANVAS - size) // 2
    canvas[margin : margin + size, margin : margin + size] = small
    return canvas


def render_all(package: Path, names: list[str]) -> np.ndarray:
    """Render every named icon at both sizes: (drawings, 2, 64, 64, 4) uint8, premultiplied."""
    icons = json.loads((package / "icons.json").read_text())
    out = np.empty((len(names), len(SIZES), CANVAS, CANVAS, 4), np.uint8)
    for i, name in enumerate(names):
        body = icons["icons"][name]["body"]
        for j, size in enumerate(SIZES):
            out[i, j] = np.round(render(body, size, icons["width"]) * 255)
    return out


def on_background(rgba: np.ndarray, colour: tuple[float, float, float] = WHITE) -> np.ndarray:
    """Composite premultiplied (…, 4) floats over one colour: (…, 3)."""
    return rgba[..., :3] + (1 - rgba[..., 3:]) * np.asarray(colour, np.float32)


def recolour(rgba: np.ndarray, name: str) -> np.ndarray:
    """Tint a premultiplied drawing: its luminance runs from black over the named colour to white."""
    alpha = rgba[..., 3:]
    plain = rgba[..., :3] / np.maximum(alpha, 1e-4)
    luminance = plain @ np.array([0.3, 0.59, 0.11], np.float32)
    colour = np.asarray(COLOURS[name], np.float32)
    middle = 0.6
    dark = np.clip(luminance / middle, 0, 1)[..., None] * colour
    light = np.clip((luminance - middle) / (1 - middle), 0, 1)[..., None] * 0.8
    tinted = dark + light * (1 - dark)
    return np.concatenate([tinted * alpha, alpha], axis=-1)


def mirror(rgba: np.ndarray) -> np.ndarray:
    """Flip left and right, over the width of (…, height, width, channels)."""
    return rgba[..., :, ::-1, :]
