"""The VAE's decoder a tile at a time, without seams: no tile has means and deviations of its own.

Decoders that cut the latents and decode each tile by itself normalise each by its own statistics, which tints it. Here
every piece of the network between two normalisations goes over all tiles before the next begins, on feature maps that
wait on the host. Only what one tile needs is on the device, and on a CPU what the feature maps of the untiled decoder
take beyond two is saved. The result is that of the untiled decoder up to float rounding, so nothing has to be blended.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

TILE = 256  # pixels of a feature map, in each direction
EDGE = 1  # what a 3×3 convolution sees beyond its tile


class Span(NamedTuple):
    """A tile along one direction: where it begins and ends, and from where on it is nobody else's."""

    begin: int
    end: int
    own: int


def spans(size: int, tile: int = TILE) -> list[Span]:
    """Cut `size` pixels into as few tiles of one length as have at most `tile` each; the last may reach back."""
    count = -(-size // tile)
    length = -(-size // count)
    ends = [min(length * (i + 1), size) for i in range(count)]
    return [Span(end - length, end, length * i) for i, end in enumerate(ends)]


class Moments:
    """Mean and variance of each channel, gathered tile by tile (Chan et al. 1979), in float64."""

    def __init__(self, channels: int):
        self.count, self.mean, self.spread = 0, np.zeros(channels), np.zeros(channels)

    def add(self, tile: np.ndarray) -> None:
        """Take in the pixels of a tile (C, h, w)."""
        rows = tile.reshape(len(tile), -1)
        count, mean = rows.shape[1], rows.mean(axis=1)  # float32, but of one tile and summed in pairs
        spread = np.square(rows - mean[:, None]).sum(axis=1)
        whole = self.count + count
        self.spread += spread + (mean - self.mean) ** 2 * (self.count * count / whole)
        self.mean += (mean - self.mean) * (count / whole)
        self.count = whole

    def normal(self, norm: Any) -> tuple[np.ndarray, np.ndarray]:
        """Scale and shift (1, C, 1, 1) float32 that are the group normalisation `norm` by these moments."""
        mean, variance = self.mean.reshape(norm.groups, -1), (self.spread / self.count).reshape(norm.groups, -1)
        centre = mean.mean(axis=1, keepdims=True)
        whole = variance.mean(axis=1, keepdims=True) + ((mean - centre) ** 2).mean(axis=1, keepdims=True)
        scale = _numbers(norm.weight).reshape(mean.shape) / np.sqrt(whole + norm.eps)
        shift = _numbers(norm.bias).reshape(mean.shape) - centre * scale
        return tuple(each.reshape(1, -1, 1, 1).astype(np.float32) for each in (scale, shift))


class TiledDecoder:
    """Decodes latents (1, C, h, w) to (1, 3, H, W) float32, like the method `decode` of the cell `vae`.

    Its stages run operator by operator. Compiled, each of them would keep the memory of its own tile for good, which
    over all of them is more than the whole image takes.
    """

    compile_seconds = 0.0

    def __init__(self, vae: Any, tile: int = TILE):
        from mdiff.nn.vae_tile import ActivatedConv, PlainConv, ResidualConv
        from mdiff.pipeline.network import Eager

        self._decoder, self._tile = vae.decoder, tile
        self._middle = Eager(vae.decode_middle)
        self._stages: dict[str, Callable[..., np.ndarray]] = {}
        silu, dtype = vae.decoder.silu, vae.dtype
        for place, block in enumerate(vae.decoder.up_blocks):
            for number, resnet in enumerate(block.resnets):
                self._stages[f"{place}.{number}.first"] = Eager(ActivatedConv(resnet.conv1, silu, dtype))
                self._stages[f"{place}.{number}.second"] = Eager(ResidualConv(resnet, dtype))
            if not block.last:
                self._stages[f"{place}.up"] = Eager(PlainConv(block.upsamplers[0].conv, dtype))
        self._stages["out"] = Eager(ActivatedConv(vae.decoder.conv_out, silu, dtype))

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        x = self._middle(latents)[0]  # (C, h, w): the only part with attention, and small
        moments = Moments(len(x))
        moments.add(x)
        for place, block in enumerate(self._decoder.up_blocks):
            for number, resnet in enumerate(block.resnets):
                name = f"{place}.{number}"
                h, between = self._activated(self._stages[f"{name}.first"], x, moments.normal(resnet.norm1))
                x, moments = self._activated(self._stages[f"{name}.second"], h, between.normal(resnet.norm2), x)
                del h
            if not block.last:
                x, moments = self._upsampled(self._stages[f"{place}.up"], x)
        image, _ = self._activated(self._stages["out"], x, moments.normal(self._decoder.conv_norm_out))
        return image[None]

    def _activated(
        self, stage: Any, x: np.ndarray, normal: tuple[np.ndarray, np.ndarray], beside: np.ndarray | None = None
    ) -> tuple[np.ndarray, Moments]:
        """A stage over all tiles of x (C, h, w), with the tiles of `beside` where it takes another input."""
        _, height, width = x.shape
        made = _Map(height, width)
        for row, column in self._places(height, width):
            tile, inside = _cut(x, row, column)
            others = () if beside is None else (beside[None, :, row.begin : row.end, column.begin : column.end].copy(),)
            made.put(row, column, stage(tile, *normal, inside, *others)[0])
        return made.pixels, made.moments

    def _upsampled(self, stage: Any, x: np.ndarray) -> tuple[np.ndarray, Moments]:
        """The convolution `stage` over all tiles of x (C, h, w) at twice its resolution."""
        height, width = 2 * x.shape[1], 2 * x.shape[2]
        made = _Map(height, width)
        for row, column in self._places(height, width):
            rows, columns = (np.arange(s.begin - EDGE, s.end + EDGE) for s in (row, column))
            tile = x[:, np.clip(rows, 0, height - 1) // 2][:, :, np.clip(columns, 0, width - 1) // 2]
            tile *= ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
            made.put(row, column, stage(tile[None])[0])
        return made.pixels, made.moments

    def _places(self, height: int, width: int) -> Iterator[tuple[Span, Span]]:
        return ((row, column) for row in spans(height, self._tile) for column in spans(width, self._tile))


class _Map:
    """A feature map that its tiles arrive in, and its moments."""

    def __init__(self, height: int, width: int):
        self._size = height, width
        self.pixels: np.ndarray = np.empty(0)
        self.moments = Moments(0)

    def put(self, row: Span, column: Span, tile: np.ndarray) -> None:
        """Take the part of a tile (C, h, w) that is not there yet."""
        if self.moments.count == 0:
            self.pixels, self.moments = np.empty((len(tile), *self._size), np.float32), Moments(len(tile))
        own = tile[:, row.own - row.begin :, column.own - column.begin :]
        self.pixels[:, row.own : row.end, column.own : column.end] = own
        self.moments.add(np.ascontiguousarray(own))


def _cut(x: np.ndarray, row: Span, column: Span) -> tuple[np.ndarray, np.ndarray]:
    """A tile of x (C, h, w) with its edge (1, C, h' + 2, w' + 2), and where of that the image is (1, 1, …)."""
    _, height, width = x.shape
    top, bottom = max(row.begin - EDGE, 0), min(row.end + EDGE, height)
    left, right = max(column.begin - EDGE, 0), min(column.end + EDGE, width)
    shape = row.end - row.begin + 2 * EDGE, column.end - column.begin + 2 * EDGE
    target = (
        slice(top - row.begin + EDGE, bottom - row.begin + EDGE),
        slice(left - column.begin + EDGE, right - column.begin + EDGE),
    )
    tile, inside = np.zeros((1, len(x), *shape), np.float32), np.zeros((1, 1, *shape), np.float32)
    tile[0, :, *target] = x[:, top:bottom, left:right]
    inside[0, 0, *target] = 1
    return tile, inside


def _numbers(parameter: Any) -> np.ndarray:
    import mindspore as ms

    return parameter.astype(ms.float32).asnumpy().astype(np.float64)
