"""What is set before MindSpore is imported, and the one device of a process."""

import os
import subprocess
import sys

import pytest

from mdiff.device import Device, activate, environment
from mdiff.errors import MdiffError


def run(code, **variables):
    kept = {name: value for name, value in os.environ.items() if name not in ("ONEDNN_MAX_CPU_ISA", "GLOG_v")}
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, **variables},
    )


def test_the_convolution_trap_is_avoided():
    code = "import os; from mdiff.device import prepare_environment as p; p(); p(); print(os.environ[TRAP])"
    code = code.replace("TRAP", "'ONEDNN_MAX_CPU_ISA'")
    assert run(code).stdout.split() == ["AVX2"]


def test_what_the_user_has_set_stays():
    code = "import os; from mdiff.device import prepare_environment as p; p(); print(os.environ['GLOG_v'])"
    assert run(code, GLOG_v="1").stdout.split() == ["1"]


def test_too_late_is_said(monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setitem(sys.modules, "mindspore", sys)
    with pytest.warns(UserWarning, match="imported before mdiff"):
        environment.prepare_environment()


def test_one_device_a_process(monkeypatch):
    monkeypatch.setattr(environment, "_active", [Device("cpu")])
    activate(Device("cpu"))
    with pytest.raises(MdiffError, match="a process of its own"):
        activate(Device("ascend", 1, "Ascend910B2"))


def test_mindspore_may_have_run_before(monkeypatch):
    """A notebook has tensors already when it makes its first pipeline."""
    import mindspore as ms

    assert (ms.Tensor([1.0]) + 1).asnumpy() == [2.0]
    monkeypatch.setattr(environment, "_active", [])
    activate(Device("cpu"))
    assert environment._active == [Device("cpu")]


def test_ascend_that_mindspore_refuses_is_one_sentence(monkeypatch):
    monkeypatch.setattr(environment, "_active", [])
    with pytest.raises(MdiffError, match="cannot use ascend 0") as caught:
        activate(Device("ascend", 0, "Ascend910B2"))
    assert "\n" not in str(caught.value)
    assert environment._active == []


def test_ascend_is_settled_once(monkeypatch):
    """Device number, determinism and true float32, each passed on; a second setting's refusal is borne."""
    import mindspore as ms

    calls = []
    precision = ms.device_context.ascend.op_precision
    monkeypatch.setattr(environment, "_active", [])
    monkeypatch.setattr(ms, "set_device", lambda target, number: calls.append(("device", target, number)))
    monkeypatch.setattr(precision, "conv_allow_hf32", lambda value: calls.append(("conv", value)))
    monkeypatch.setattr(precision, "matmul_allow_hf32", lambda value: calls.append(("matmul", value)))

    def again(value):
        calls.append(("deterministic", value))
        raise RuntimeError("The 'mindspore.set_deterministic' can not be set repeatedly.")

    monkeypatch.setattr(ms, "set_deterministic", again)
    activate(Device("ascend", 3, "Ascend910B2"))
    assert calls == [("device", "Ascend", 3), ("deterministic", True), ("conv", False), ("matmul", False)]
    assert environment._active == [Device("ascend", 3, "Ascend910B2")]


def test_the_import_on_a_cpu_spares_what_only_ascend_needs_and_leaves_no_trace():
    program = (
        "import sys, time, gc\n"
        "from mdiff import device\n"
        "device.activate(device.choose('cpu'))\n"
        "name = 'mindspore.ops._op_impl.aicpu'\n"
        "assert gc.isenabled() and not [each for each in sys.modules if each.startswith(name)]\n"
        "import importlib\n"
        "assert len(importlib.import_module(name).__path__) == 1\n"
        "import mindspore as ms\n"
        "from mindspore import ops\n"
        "print(float(ops.silu(ms.Tensor([0.0])).sum()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0.0"]
