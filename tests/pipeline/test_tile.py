"""Decoding in tiles: no seam anywhere, smooth images or noise."""

import numpy as np
import pytest

from mdiff import device as devices
from mdiff.model import Memory, ModelSource, describe
from mdiff.pipeline import tile
from mdiff.pipeline.session import Session
from mdiff.pipeline.tile import Moments, TiledDecoder, spans
from tests.checkpoint import make_checkpoint


@pytest.fixture(scope="module", params=["bundled", "random"])
def session(request, tmp_path_factory):
    path = "bundled:emoji"
    if request.param == "random":
        path = str(make_checkpoint(tmp_path_factory.mktemp("tile"), "sd15-tiny"))
    cpu = devices.choose("cpu")
    return Session(describe(ModelSource(path=path)), cpu, devices.resolve_precision("fp32", cpu))


def smooth(height, width):
    """Latents (4, height, width) of a few long waves."""
    y, x = np.mgrid[:height, :width] / 40
    waves = [np.sin(6 * x + phase) + np.cos(5 * y - 2 * x * phase) for phase in range(4)]
    return np.stack(waves).astype(np.float32)


def pixels(image):
    return np.clip(image * 0.5 + 0.5, 0, 1) * 255


def tiled(session, latents, size):
    """The image by tiles of `size` pixels of a feature map."""
    return TiledDecoder(session.model.vae, size)(latents[None] / np.float32(session.model.scaling_factor))[0]


def test_a_smooth_image_has_no_seams(session):
    latents = smooth(22, 19)
    whole = pixels(session.decode(latents))
    parts = pixels(tiled(session, latents, 40))
    assert whole.shape == parts.shape and np.ptp(whole) > 50
    assert len(spans(whole.shape[1], 40)) >= 3
    assert np.abs(whole - parts).max() < 0.1, "of 255, at the tiles' borders as well as away from them"


def test_noise_has_no_seams_either(session):
    latents = np.random.default_rng(0).standard_normal((4, 9, 14), dtype=np.float32)
    whole = session.decode(latents)
    assert np.abs(whole - tiled(session, latents, 24)).max() < 2e-4 * np.abs(whole).max()


def test_the_session_tiles_where_it_is_told_to(session, monkeypatch):
    used = []
    monkeypatch.setattr(tile, "spans", lambda size, length: used.append(size) or spans(size, length))
    latents = smooth(10, 10)
    untiled = session.decode(latents)
    assert used == []
    session.memory = Memory(vae_tiling=True)
    try:
        assert np.abs(session.decode(latents) - untiled).max() < 1e-3
    finally:
        session.memory = Memory()
    assert used


def test_auto_tiles_beyond_the_models_own_size():
    description = describe(ModelSource(path="bundled:emoji"))
    width, height = description.default_width, description.default_height
    auto = Memory(vae_tiling="auto")
    assert not auto.tiles(description, width, height) and not auto.tiles(description, 2 * width, height // 2)
    assert auto.tiles(description, width + 4, height)


@pytest.mark.parametrize(("size", "length"), [(1, 8), (8, 8), (9, 8), (17, 8), (104, 32), (1000, 256)])
def test_spans_cover_everything_once(size, length):
    cut = spans(size, length)
    assert len({each.end - each.begin for each in cut}) == 1, "one shape"
    assert cut[0].end - cut[0].begin <= length
    assert [each.own for each in cut] == [0, *(each.end for each in cut[:-1])] and cut[-1].end == size
    assert all(0 <= each.begin <= each.own < each.end for each in cut)


def test_moments_of_parts_are_those_of_the_whole():
    values = (np.random.default_rng(0).standard_normal((3, 40, 7)) * 3 + [[[100.0]], [[-2.0]], [[0.0]]]).astype("f4")
    moments = Moments(3)
    for part in (values[:, :1], values[:, 1:30], values[:, 30:]):
        moments.add(np.ascontiguousarray(part))
    flat = values.astype(np.float64).reshape(3, -1)
    np.testing.assert_allclose(moments.mean, flat.mean(1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moments.spread / moments.count, flat.var(1), rtol=1e-5)
