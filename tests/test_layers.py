"""Imports point down only; a configuration error never pays for MindSpore."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mdiff"

# One level a line, the lowest first; the packages of one level do not know each other.
LEVELS = [
    {"errors"},
    {"noise", "nn", "weights", "device"},
    {"scheduler", "prompt"},
    {"model"},  # networks and the tokenizers that belong to them
    {"engine"},
    {"pipeline"},
    {"run"},
    {"report"},
    {"replay", "config", "doctor"},
    {"sweep"},
    {"__main__", "bench"},
]
LEVEL = {name: height for height, names in enumerate(LEVELS) for name in names}

# Sideways steps within a level, each with its reason.
ALLOWED = {
    ("nn", "device"): "cells are given the device's formulations",
    ("device", "noise"): "a self-test draws its inputs",
    ("replay", "config"): "a recipe from a stranger passes the same validation as a config",
}


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "recipe" not in path.parts]


def imported(path: Path):
    """Yield (module name, whether it is imported when the file is) of every import in the file."""
    tree = ast.parse(path.read_text())
    inner = {id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in inner
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) not in inner
            if node.module == "mdiff":
                for alias in node.names:
                    yield f"mdiff.{alias.name}", id(node) not in inner


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    here = parts[0]
    if here == "__init__" or "emoji" in parts:
        return  # the public face, and the bundled model's own evaluation, stand on top of everything
    assert here in LEVEL, f"{here} has no place among the layers"
    for name, _ in imported(path):
        there = name.split(".")[1] if name.startswith("mdiff.") else None
        if there is None or there == here or there not in LEVEL:
            continue
        if (here, there) not in ALLOWED:
            assert LEVEL[there] < LEVEL[here], f"{path.relative_to(ROOT)} ({here}) imports {name}"


@pytest.mark.parametrize("layer", ["scheduler", "config", "prompt", "report", "noise", "engine"])
def test_these_import_no_mindspore(layer):
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        assert not [name for name, _ in imported(path) if name.split(".")[0] == "mindspore"], path


@pytest.mark.parametrize("layer", ["scheduler", "engine", "nn", "weights", "device", "model", "pipeline", "run"])
def test_hydra_is_met_at_the_top_only(layer):
    for path in sorted((PACKAGE / layer).rglob("*.py")):
        assert not [name for name, _ in imported(path) if name.split(".")[0] in {"hydra", "omegaconf"}], path


def test_import_mdiff_imports_neither_mindspore_nor_hydra():
    code = "import sys, mdiff; print(sorted({'mindspore', 'hydra', 'omegaconf', 'numpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_plan_imports_no_mindspore():
    code = "import sys, mdiff.run.plan; print('mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"
