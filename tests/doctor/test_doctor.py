"""The self-test passes on a healthy device, and fails on one that computes wrongly."""

import dataclasses

import numpy as np
import pytest

from mdiff import device as devices
from mdiff.device.kernel import portable_kernels
from mdiff.doctor import __main__ as doctor
from mdiff.doctor.case import CASES
from mdiff.doctor.check import Finding, examine

CPU = devices.Device("cpu")


@pytest.fixture(scope="module")
def fast():
    devices.activate(CPU)
    return devices.kernels(CPU, devices.resolve_precision("fp32", CPU))


def test_fast_formulations_are_right(fast):
    assert [finding for finding in examine(CPU, fast) if not finding.right] == []


def test_plain_formulations_are_right(fast):
    assert [finding for finding in examine(CPU, portable_kernels()) if not finding.right] == []


def slightly(function):
    """The same, off by a thousandth."""

    def run(*inputs):
        return function(*inputs) * 1.001

    return run


FACTORIES = ("conv2d", "group_norm", "layer_norm")
DIRECT = ("linear", "linear_from_pixels", "linear_to_pixels", "embedding")
DIRECT += ("add_shift", "silu", "gelu", "quick_gelu", "upsample_nearest", "pad_asymmetric")


@pytest.mark.parametrize("name", [*FACTORIES, *DIRECT])
def test_a_thousandth_is_noticed(fast, name):
    original = getattr(fast, name)
    if name in FACTORIES:
        broken = dataclasses.replace(fast, **{name: lambda *sizes: slightly(original(*sizes))})
    else:
        broken = dataclasses.replace(fast, **{name: slightly(original)})
    case = next(case for case in CASES if case.name.startswith(name))
    assert not examine(CPU, broken, [case])[0].right


@pytest.mark.parametrize("name", ["attention", "masked_attention"])
def test_a_wrong_scale_is_noticed(fast, name):
    """What a call does whose scale was left at its default."""
    original = getattr(fast, name)
    broken = dataclasses.replace(fast, **{name: lambda heads, dim: original(heads, 2 * dim)})
    case = next(case for case in CASES if case.name.startswith(name))
    assert not examine(CPU, broken, [case])[0].right


def test_every_formulation_has_a_case():
    names = {field.name for field in dataclasses.fields(devices.Kernels)} - {"name", "dtype"}
    assert names == {case.name.split(",")[0].split(" ")[0] for case in CASES}


def test_nan_and_faults_are_wrong():
    assert not Finding("silu", "float32", float("nan")).right
    assert not Finding("silu", "float32", 0.0, "Unsupported op [SiLU]").right


def test_a_kernel_that_raises_is_a_finding(fast):
    def refuse(x):
        raise RuntimeError("Unsupported op [Silu] on this device\n---\n- C++ Call Stack")

    case = next(case for case in CASES if case.name == "silu")
    finding = examine(CPU, dataclasses.replace(fast, silu=refuse), [case])[0]
    assert "Unsupported op [Silu]" in finding.fault


def test_command(monkeypatch, capsys):
    monkeypatch.setattr("mdiff.doctor.check.CASES", CASES)
    monkeypatch.setattr(doctor, "examine", lambda device, kernels: examine(device, kernels, CASES[12:14]))
    assert doctor.main(["--device", "cpu", "--no-generate", "--precision", "fp32", "bf16"]) == 0
    shown = capsys.readouterr().out
    assert "MindSpore" in shown
    assert "the weights are rounded to bfloat16" in shown
    assert "Every formulation is right." in shown


def test_command_fails_where_a_formulation_is_wrong(monkeypatch, capsys):
    wrong = Finding("silu", "float32", float(np.float32(0.3)))
    monkeypatch.setattr(doctor, "examine", lambda device, kernels: [wrong])
    assert doctor.main(["--device", "cpu", "--no-generate"]) == 1
    captured = capsys.readouterr()
    assert "WRONG" in captured.out
    assert "silu (float32)" in captured.err


def test_command_without_the_device(monkeypatch, capsys):
    monkeypatch.setattr(devices.choice, "probe_ascend", lambda: (0, "", "no Ascend NPU was found"))
    assert doctor.main(["--device", "ascend"]) == 1
    assert "no Ascend NPU was found" in capsys.readouterr().err
