"""A config from a stranger cannot run code, import packages, read the environment or write elsewhere."""

from pathlib import Path

import pytest

from mdiff.__main__ import main

# What a stranger's folder may hold: file name -> text. Each would leave the file `owned` if it worked.
PAYLOAD = "os.system"
COMMAND = "touch owned"
HOSTILE = {
    "callback": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  callbacks:\n    x:\n"
        f"      _target_: {PAYLOAD}\n      command: {COMMAND}\n"
    },
    "callback of asyncio": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  callbacks:\n    x:\n"
        f"      _target_: asyncio.create_subprocess_shell\n      cmd: {COMMAND}\n"
    },
    "callback by reference": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  callbacks:\n    x:\n"
        f"      _target_: ${{oc.select:nowhere,webbrowser.GenericBrowser}}\n      name: {COMMAND}\n"
    },
    "callbacks made at resolution": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n"
        f"  launcher:\n    x: ${{oc.create:'{{_target_: {PAYLOAD}}}'}}\n"
    },
    "logging factory": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  hydra_logging:\n    version: 1\n    formatters:\n"
        f"      x:\n        (): {PAYLOAD}\n        command: {COMMAND}\n    root: {{level: INFO}}\n"
    },
    "logging class": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  job_logging:\n    version: 1\n    handlers:\n"
        "      x:\n        class: logging.FileHandler\n        filename: owned\n    root: {handlers: [x]}\n"
    },
    "logging stream": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  hydra_logging:\n    version: 1\n    handlers:\n"
        "      x:\n        class: logging.StreamHandler\n        stream: ext://antigravity\n"
        "    root: {handlers: [x]}\n"
    },
    "launcher": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  launcher:\n"
        f"    _target_: {PAYLOAD}\n    command: {COMMAND}\n"
    },
    "sweeper": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n"
        f"    _target_: {PAYLOAD}\n    command: {COMMAND}\n"
    },
    "something inside the sweeper": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n"
        f"      x:\n        _target_: {PAYLOAD}\n        command: {COMMAND}\n"
    },
    "scheduler": {"scheduler/evil.yaml": f"_target_: {PAYLOAD}\ncommand: {COMMAND}\n"},
    "scheduler behind mdiff": {"scheduler/evil.yaml": f"_target_: mdiff.engine.os.system\ncommand: {COMMAND}\n"},
    "scheduler by reference": {"scheduler/evil.yaml": f"_target_: ${{.x}}\nx: {PAYLOAD}\n"},
    "target in a list": {"prompt/evil.yaml": f"text: [{{_target_: {PAYLOAD}}}]\n"},
    "module of a stranger": {"scheduler/evil.yaml": "_target_: mdiff.scheduler.evil.Evil\n"},
    "environment in a prompt": {"prompt/evil.yaml": "_target_: mdiff.prompt.Prompts\ntext: ${oc.env:SECRET}\n"},
    "environment for a job": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  job:\n    env_set: {LD_PRELOAD: ./evil.so}\n"
    },
    "environment into the record": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  job:\n    env_copy: [SECRET]\n"
    },
    "another working folder": {"experiment/evil.yaml": "# @package _global_\nhydra:\n  job:\n    chdir: true\n"},
    "output elsewhere": {"experiment/evil.yaml": "# @package _global_\noutput:\n  dir: /tmp/mdiff-owned\n"},
    "output above": {"experiment/evil.yaml": "# @package _global_\noutput:\n  dir: ../owned\n"},
    "run elsewhere": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  run:\n    dir: /tmp/mdiff-owned\n"
        "  sweep:\n    dir: /tmp/mdiff-owned\n"
    },
    "sweep elsewhere": {
        "experiment/evil.yaml": "# @package _global_\nhydra:\n  mode: MULTIRUN\n  sweep:\n    dir: /tmp/mdiff-owned\n"
        "    subdir: ../../owned\n"
    },
    "Hydra's folder": {"experiment/evil.yaml": "# @package _global_\nhydra:\n  output_subdir: ../owned\n"},
    "search path": {"evil.yaml": "defaults: [config, _self_]\nhydra:\n  searchpath: [pkg://this.antigravity]\n"},
    "search path by reference": {
        "evil.yaml": "defaults: [config, _self_]\nx: pkg://antigravity\nhydra:\n  searchpath: ['${x}']\n"
    },
    "Python in YAML": {"experiment/evil.yaml": f"steps: !!python/object/apply:{PAYLOAD} ['{COMMAND}']\n"},
}


@pytest.mark.parametrize("sweeping", [False, True], ids=["run", "sweep"])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_strangers_config_is_refused(tmp_path, monkeypatch, capsys, name, sweeping):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "the secret")
    words = ["--config-dir", "theirs"]
    for file, text in HOSTILE[name].items():
        path = tmp_path / "theirs" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        words += [f"{path.parent.name}=evil"] if path.parent.name != "theirs" else ["--config-name", "evil"]
    status = main([*words, *(["-m", "seed=1,2"] if sweeping else [])])
    said = capsys.readouterr()
    assert status == 1, said
    assert said.err.startswith("mdiff: ") and "Traceback" not in said.err
    assert "the secret" not in said.err + said.out
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]
    assert not Path("/tmp/mdiff-owned").exists() and not (tmp_path.parent / "owned").exists()
