"""The engine on a denoiser with a closed form: data are one point a prompt, so epsilon = (x − √ᾱ·point)/√(1 − ᾱ)."""

import numpy as np
import pytest

from mdiff.engine import Engine, Trajectory, guide
from mdiff.noise import Generator
from mdiff.scheduler import DDIMScheduler, EulerDiscreteScheduler, HeunDiscreteScheduler, Registers

SHAPE = (4, 6, 5)


class PointDenoiser:
    """Every conditioning is a point of data space; the exact epsilon for it, and a log of the calls."""

    compile_seconds = 0.0

    def __init__(self, rows: int, scheduler):
        self.rows, self.calls, self.prepared = rows, [], 0
        self.alphas_cumprod = np.asarray(scheduler.alphas_cumprod, np.float64)

    def fit(self, rows):
        return max(rows, self.rows)

    def prepare(self, conditionings, tables):
        assert len(tables) == len(conditionings)
        self.prepared += 1
        return np.stack(conditionings)

    def __call__(self, samples, timesteps, prepared):
        assert samples.shape == prepared.shape
        self.calls.append(len(samples))
        alpha = np.interp(timesteps, np.arange(len(self.alphas_cumprod)), self.alphas_cumprod)
        alpha = alpha.astype(np.float32)[:, None, None, None]
        return (samples - np.sqrt(alpha) * prepared) / np.sqrt(1 - alpha)


def trajectory(key, scheduler, steps, seed=0, guidance=None, spoiled=False, **options):
    point = Generator(1000 + seed).randn(SHAPE)
    if spoiled:
        point = point * np.float32(np.nan)
    table, noise = scheduler.table(steps, **options), Generator(seed).randn
    begin = noise(SHAPE) * np.float32(table.init_scale)
    negative = None if guidance is None else Generator(2000 + seed).randn(SHAPE)
    return Trajectory(key, table, Registers(begin), point, negative, 1.0 if guidance is None else guidance, noise)


def mixture():
    """Images that differ in solver, steps, seed and guidance."""
    ddim, heun, euler = DDIMScheduler(), HeunDiscreteScheduler(), EulerDiscreteScheduler()
    return [
        trajectory("a", ddim, 7, seed=1, guidance=3.0),
        trajectory("b", heun, 3, seed=2),
        trajectory("c", ddim, 5, seed=3, guidance=1.5, eta=1.0),
        trajectory("d", ddim, 1, seed=4, guidance=7.5),
        trajectory("e", heun, 9, seed=5, guidance=2.0),
        trajectory("f", euler, 2, seed=0),
    ]


def run(trajectories, batch, rows=1):
    network = PointDenoiser(rows, DDIMScheduler())
    ticks = list(Engine(network, batch).run(iter(trajectories)))
    return network, ticks, {t.key: t for tick in ticks for t in tick.finished}


@pytest.mark.parametrize("batch", [2, 3, 6, 20])
def test_packing_changes_nothing(batch):
    _, _, alone = run(mixture(), 1)
    network, ticks, packed = run(mixture(), batch, rows=2 * min(batch, 6))
    assert packed.keys() == alone.keys() == set("abcdef")
    for key in alone:
        assert np.array_equal(packed[key].latents, alone[key].latents), key
    assert set(network.calls) == {2 * min(batch, 6)}, "one compiled shape"
    assert all(len(tick.advanced) <= batch for tick in ticks)


def test_the_last_image_is_the_point_that_was_asked_for():
    _, _, done = run([trajectory("x", DDIMScheduler(clip_sample=False), 20, seed=3)], 1)
    assert np.abs(done["x"].latents - Generator(1003).randn(SHAPE)).max() < 1e-5


def test_waiting_images_enter_as_soon_as_one_leaves_and_conditioning_is_prepared_once_a_change():
    ddim = DDIMScheduler()
    network, ticks, done = run([trajectory(i, ddim, steps) for i, steps in enumerate([2, 5, 3, 4])], 2, rows=2)
    assert [tuple(t.key for t in tick.advanced) for tick in ticks] == [
        (0, 1), (0, 1), (1, 2), (1, 2), (1, 2), (3,), (3,), (3,), (3,),
    ]  # fmt: skip
    assert network.prepared == 3
    assert len(done) == 4


def test_another_form_waits_for_those_in_flight():
    waiting = [trajectory(i, DDIMScheduler(), 2) for i in range(4)]
    for each, form in zip(waiting, "aaba", strict=True):
        each.form = form
    _, ticks, done = run(waiting, 3)
    assert [tuple(t.key for t in tick.advanced) for tick in ticks] == [(0, 1), (0, 1), (2,), (2,), (3,), (3,)]
    assert len(done) == 4


def test_waiting_is_asked_only_when_there_is_a_place():
    taken = []

    def source():
        for index in range(3):
            taken.append(index)
            yield trajectory(index, DDIMScheduler(), 2)

    ticks = Engine(PointDenoiser(1, DDIMScheduler()), 1).run(source())
    next(ticks)
    assert taken == [0]
    assert len(list(ticks)) == 5


def test_one_bad_image_does_not_touch_its_neighbours():
    ddim = DDIMScheduler()
    _, _, alone = run([trajectory("good", ddim, 6, seed=1)], 1)
    _, _, both = run([trajectory("bad", ddim, 6, seed=2, spoiled=True), trajectory("good", ddim, 6, seed=1)], 2)
    assert "not finite after evaluation 1 of 6" in both["bad"].error
    assert both["good"].error is None
    assert np.array_equal(both["good"].latents, alone["good"].latents)


def test_seconds_of_a_call_are_shared_by_rows():
    _, ticks, done = run(mixture(), 6)
    assert sum(t.seconds for t in done.values()) == pytest.approx(sum(tick.seconds for tick in ticks))


def test_guidance_zero_and_one_are_values():
    negative, positive = Generator(1).randn(SHAPE), Generator(2).randn(SHAPE)
    assert np.array_equal(guide(negative, positive, 0.0), negative)
    assert np.allclose(guide(negative, positive, 1.0), positive, atol=1e-6)


def test_rescaled_guidance_has_the_deviation_of_the_positive():
    negative, positive = Generator(1).randn(SHAPE), Generator(2).randn(SHAPE) * 2
    assert guide(negative, positive, 9.0, 1.0).std() == pytest.approx(positive.std(), rel=1e-5)
    half = guide(negative, positive, 9.0, 0.5)
    assert np.allclose(half, (guide(negative, positive, 9.0, 1.0) + guide(negative, positive, 9.0)) / 2, atol=1e-5)


def between(begin, end, **options):
    made = trajectory("x", HeunDiscreteScheduler(), 10, seed=1, guidance=3.0, **options)
    made.guidance_interval = (begin, end)
    return made


def test_guidance_in_an_interval_costs_one_row_outside_it():
    _, ticks, done = run([between(0.2, 0.7)], 1)
    steps = HeunDiscreteScheduler().table(10).step
    assert [tick.rows_used for tick in ticks] == [2 if 2 <= step < 7 else 1 for step in steps]
    assert done["x"].error is None


def test_the_whole_interval_changes_nothing():
    _, _, plain = run([trajectory("x", HeunDiscreteScheduler(), 10, seed=1, guidance=3.0)], 1)
    _, _, whole = run([between(0.0, 1.0)], 1)
    assert np.array_equal(plain["x"].latents, whole["x"].latents)


def test_outside_the_interval_an_image_is_not_guided():
    """Unguided to the middle, then guided: as if one began where the other stopped."""
    _, _, plain = run([trajectory("x", DDIMScheduler(), 10, seed=1)], 1)
    late = trajectory("x", DDIMScheduler(), 10, seed=1, guidance=3.0)
    late.guidance_interval = (0.99, 1.0)
    _, _, done = run([late], 1)
    assert np.array_equal(done["x"].latents, plain["x"].latents), "no step begins in it"


def test_packed_images_change_the_shape_of_calls_only_when_none_is_guided():
    first, second = between(0.0, 0.5), between(0.0, 0.5)
    alone = run([between(0.0, 0.5)], 1)[2]["x"]
    network, ticks, _ = run([first, second], 2, rows=1)
    rows = [2 * (2 if step < 5 else 1) for step in HeunDiscreteScheduler().table(10).step]
    assert network.calls == rows and [tick.rows_used for tick in ticks] == rows
    assert network.prepared == 2, "conditioning is prepared again at the change, and only then"
    assert np.array_equal(first.latents, alone.latents) and np.array_equal(second.latents, alone.latents)
