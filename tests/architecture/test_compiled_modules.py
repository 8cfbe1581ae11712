"""What may be compiled: where mypyc's modules do other things than Python's, they are not to do them."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest
from benchmarks.harness.compiled import compiled_modules

ROOT = Path(__file__).parent.parent.parent
MODULES = compiled_modules()
SLICES = {
    "trimtab/providers/http/chunked_body.py": {
        "data[position:position + _LINE_END_BYTES]",
        "data[position:stop]",  # -1 is the last byte, and there is one at `position`
        "data[start:position]",  # which is `start` and more
    },
    "trimtab/providers/http/connection.py": {"data[start:stop]"},  # something stands at `stop`
    "trimtab/providers/http/known_heads.py": {
        "data[start - _LINE_BYTES:start]",  # that many stand before it
        "data[start:stop]",
        "data[stop:end + len(_END)]",
        "data[stop:end]",  # `stop` was looked for up to there
    },
}
"""Slices between variables that were looked at: they end where they begin, or later."""
HARMLESS = {"trimtab/providers/http/pool.py": {"_connect", "_grow"}}
"""Each of which begins a task of its own."""


def bases(tree: ast.Module) -> set[str]:
    return {ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases}


@pytest.mark.parametrize("module", MODULES)
def test_a_compiled_module_defines_no_struct_and_no_class_that_python_code_made(module: str) -> None:
    found = bases(ast.parse((ROOT / "src" / module).read_text()))
    assert not [base for base in found if "Struct" in base or base.startswith("asyncio.")]


@pytest.mark.parametrize("module", MODULES)
def test_no_function_of_a_compiled_module_calls_itself(module: str) -> None:
    tree = ast.parse((ROOT / "src" / module).read_text())
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    calls = {
        name: {_called(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)} & functions.keys()
        for name, node in functions.items()
    }
    # Nobody counts the depth of compiled calls: what Python ends with RecursionError kills the process there.
    reached = {name: set(names) for name, names in calls.items()}
    for _ in functions:
        for names in reached.values():
            names.update(*(calls[name] for name in tuple(names)))
    assert {name for name, names in reached.items() if name in names} - HARMLESS.get(module, set()) == set()


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    own = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self"
    return function.attr if own and isinstance(function, ast.Attribute) else ""


@pytest.mark.parametrize("module", MODULES)
def test_no_slice_of_a_compiled_module_ends_before_it_begins(module: str) -> None:
    """Python takes such a slice of bytes for empty, mypyc (2.4) for an error."""
    found = {
        ast.unparse(node)
        for node in ast.walk(ast.parse((ROOT / "src" / module).read_text()))
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
        # of a map or a view, slicing is left to Python
        if not ast.unparse(node.value).startswith(("self._map", "self._bytes", "view", "drawn"))
        if node.slice.upper is not None and not isinstance(node.slice.lower, ast.Constant | None)
    }
    assert found - SLICES.get(module, set()) == set()


@pytest.mark.parametrize("module", MODULES)
def test_what_a_compiled_module_names_once_it_does_not_look_up_each_time(module: str) -> None:
    """Of a `Final` mypyc knows where it lies; any other name is looked up among the module's, as Python does."""
    tree = ast.parse((ROOT / "src" / module).read_text())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    found = {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in assigned}
    types = ("TypeVar", "Literal", "tuple[")
    assert [name for name, value in found.items() if name != "__all__" and not value.startswith(types)] == []
    annotated = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    assert [ast.unparse(node) for node in annotated if not ast.unparse(node.annotation).startswith("Final")] == []


def test_mypy_looks_for_unreachable_code_in_every_module_that_is_compiled() -> None:
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    strict = [override["module"] for override in overrides if override.get("warn_unreachable")]
    assert strict == [[module.removesuffix(".py").replace("/", ".") for module in MODULES]]
    assert sorted(MODULES) == MODULES
