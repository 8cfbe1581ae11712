"""What may be compiled: mypyc loses the class keywords of a Struct, and takes mypy's word for what is unreachable."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from benchmarks.harness.compiled import compiled_modules

ROOT = Path(__file__).parent.parent.parent
MODULES = compiled_modules()


def bases(tree: ast.Module) -> set[str]:
    return {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}


@pytest.mark.parametrize("module", MODULES)
def test_a_compiled_module_defines_no_struct_and_no_class_that_python_code_made(module: str) -> None:
    found = bases(ast.parse((ROOT / "src" / module).read_text()))
    assert not [base for base in found if "Struct" in base or base.startswith("asyncio.")]


def test_mypy_looks_for_unreachable_code_in_every_module_that_is_compiled() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    strict = [override["module"] for override in overrides if override.get("warn_unreachable")]
    assert strict == [[module.removesuffix(".py").replace("/", ".") for module in MODULES]]
    assert sorted(MODULES) == MODULES
