"""A table is one folder and one name; features know each other by their contributions alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import neod.features
from neod.features import NAMES

ROOM = Path(neod.features.__file__).parent


def imported(module):
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_every_folder_with_a_schema_is_registered_and_has_both_modules():
    assert {path.parent.name for path in ROOM.glob("*/schema.py")} == set(NAMES)
    assert {path.parent.name for path in ROOM.glob("*/compile.py")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_imports_no_other(name):
    others = {f"neod.features.{other}" for other in NAMES if other != name}
    for module in (ROOM / name).glob("*.py"):
        assert not {".".join(one.split(".")[:3]) for one in imported(module)} & others, module


@pytest.mark.parametrize("name", NAMES)
def test_what_a_feature_compiles_to_is_loaded_without_its_schema(name):
    code = (
        f"import sys, neod.features.{name}.compile; "
        "print([m for m in sys.modules if m.endswith(('.schema', '.sections')) or m.startswith('pydantic')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60, text=True)
    assert done.stdout.strip() == "[]"
