"""Choosing a device: by what is asked for and by what answers, without importing MindSpore."""

import subprocess
import sys

import pytest

from mdiff.device import choice
from mdiff.device.choice import Device, choose, probe_ascend
from mdiff.errors import MdiffError


@pytest.fixture
def ascends(monkeypatch):
    """Pretend that this many Ascend devices answer."""

    def pretend(count, name="Ascend910B2", fault=""):
        monkeypatch.setattr(choice, "probe_ascend", lambda: (count, name, fault))

    return pretend


def test_auto_without_ascend_is_the_cpu(ascends):
    ascends(0, "", "no Ascend NPU was found")
    assert choose("auto") == Device("cpu", 0, "cpu")


def test_auto_with_ascend_takes_it(ascends):
    ascends(2)
    assert choose("auto", "auto") == Device("ascend", 0, "Ascend910B2")
    assert choose("auto", 1) == Device("ascend", 1, "Ascend910B2")


def test_cpu_is_never_asked_about_ascend(monkeypatch):
    def probe():
        raise AssertionError("the CPU needs no probe")

    monkeypatch.setattr(choice, "probe_ascend", probe)
    assert choose("cpu").kind == "cpu"


def test_ascend_where_there_is_none_says_why(ascends):
    ascends(0, "", "no Ascend NPU was found")
    with pytest.raises(MdiffError, match=r"no Ascend NPU was found.*device=cpu"):
        choose("ascend")


def test_number_beyond_the_devices(ascends):
    ascends(2)
    for kind in ("auto", "ascend"):
        with pytest.raises(MdiffError, match=r"device.id = 2.*there are 2"):
            choose(kind, 2)


@pytest.mark.parametrize("id", [-1, 1.0, True, "first", None])
def test_number_that_is_none(id):
    with pytest.raises(MdiffError, match=r"device\.id"):
        choose("cpu", id)


def test_unknown_kind_names_the_nearest():
    with pytest.raises(MdiffError, match="did you mean 'ascend'"):
        choose("ascnd")


@pytest.fixture
def driver(monkeypatch):
    """Pretend that a driver is there, and let `run` answer for the probing process."""
    probe_ascend.cache_clear()
    monkeypatch.setattr(choice, "_has_driver", lambda: True)

    def answer(run):
        monkeypatch.setattr(choice.subprocess, "run", run)

    yield answer
    probe_ascend.cache_clear()


def finished(stdout="", stderr="", code=0):
    return lambda *arguments, **options: subprocess.CompletedProcess(arguments, code, stdout, stderr)


def test_probe_reads_the_last_line(driver):
    driver(finished('[WARNING] {noise\n\n{"count": 8, "name": "Ascend910B3"}\n'))
    assert probe_ascend() == (8, "Ascend910B3", "")


def test_probe_without_cann(driver):
    driver(finished('\n{"count": 0, "name": ""}\n'))
    count, _, fault = probe_ascend()
    assert count == 0
    assert "CANN" in fault


def test_probe_that_fails_passes_the_reason_on(driver):
    driver(finished("", "Traceback\nRuntimeError: dcmi module initialize failed\n", 1))
    count, _, fault = probe_ascend()
    assert count == 0
    assert "dcmi module initialize failed" in fault


def test_probe_that_hangs_is_given_up(driver):
    def run(*arguments, **options):
        assert options["timeout"] == choice.PROBE_SECONDS
        raise subprocess.TimeoutExpired(arguments, options["timeout"])

    driver(run)
    count, _, fault = probe_ascend()
    assert count == 0
    assert "did not answer" in fault


def test_probe_runs_here(driver):
    """The probe's own code against this machine's MindSpore, which has no Ascend."""
    assert probe_ascend()[0] == 0
    assert "CANN" in probe_ascend()[2]


def test_choosing_imports_no_mindspore():
    code = (
        "import sys; from mdiff import device; d = device.choose('auto'); "
        "device.resolve_precision('auto', d); device.prepare_environment(); assert 'mindspore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
