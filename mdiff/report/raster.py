"""Opening images that may come from anywhere, and making thumbnails of them."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

MAX_FILE_BYTES = 256 << 20
MAX_PIXELS = 64 << 20
THUMBNAIL = 192
SMALL_THUMBNAIL = 96
MAX_LOSSLESS_BYTES = 12_000


def read_rgb(path: Path) -> Image.Image:
    """Decode a PNG to RGB; ValueError says why a file is refused."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"{path.name}: {size} bytes, more than {MAX_FILE_BYTES}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG",)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{path.name}: {image.width} x {image.height} is more than {MAX_PIXELS} pixels")
                return image.convert("RGB")
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path.name}: more than {MAX_PIXELS} pixels") from error
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError) as error:
        raise ValueError(f"{path.name}: not a readable PNG") from error


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return the (H, W, 3) bytes of an RGB image."""
    return np.asarray(image, dtype=np.uint8)


def digest(image: Image.Image) -> str:
    """Return the sha256 of the RGB bytes, row by row: the identity of an image in a record."""
    return hashlib.sha256(image.tobytes()).hexdigest()


def thumbnail(image: Image.Image, side: int) -> bytes:
    """Encode an image as WebP, at most `side` pixels on its longer side; lossless where that stays small."""
    stream = io.BytesIO()
    small = image.copy()
    if max(small.size) > side:
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    else:
        small.save(stream, "WEBP", lossless=True, quality=0, method=2)  # of effort, not of the picture
        if stream.tell() <= MAX_LOSSLESS_BYTES:
            return stream.getvalue()
        stream = io.BytesIO()
    small.save(stream, "WEBP", quality=80, method=2)
    return stream.getvalue()


def amplified(a: Image.Image, b: Image.Image, factor: int = 8) -> Image.Image:
    """Return the absolute difference of two RGB images of one size, times `factor`."""
    difference = np.abs(pixels(a).astype(np.int16) - pixels(b).astype(np.int16))
    return Image.fromarray((difference * factor).clip(0, 255).astype(np.uint8))
