"""What import-linter does not see: file sizes, import cycles at any depth, names, and what the data plane loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "trimtab").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_stays_under_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_no_import_cycle_between_modules_at_any_depth() -> None:
    graph = grimp.build_graph("trimtab")
    edges = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    done: set[str] = set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            pytest.fail("import cycle: " + " -> ".join([*trail[trail.index(module) :], module]))
        if module not in done:
            for imported in sorted(edges[module]):
                visit(imported, [*trail, module])
            done.add(module)

    for module in sorted(edges):
        visit(module, [])


def test_no_module_is_named_after_nothing() -> None:
    offenders = [path for path in SOURCES if path.stem in BANNED_NAMES or path.stem.endswith("_v2")]
    assert offenders == []


def test_package_inits_hold_only_a_docstring_and_re_exports() -> None:
    for path in SOURCES:
        if path.name == "__init__.py" and path.parent.name != "trimtab":
            assert _functions(path) == [], path
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_only_bootstrap_reads_the_environment() -> None:
    offenders = []
    for path in SOURCES:
        text = path.read_text()
        if path.parent.name != "bootstrap" and ("os.environ" in text or "getenv(" in text):
            offenders.append(str(path.relative_to(ROOT)))
    assert offenders == []


def _is_broad(node: ast.ExceptHandler) -> bool:
    return node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"})


def _raises_again(node: ast.ExceptHandler) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_broad_excepts_stand_only_in_surfaces() -> None:
    surfaces = {"cli", "api", "console", "gateway", "sdk", "sim", "demo", "calls"}  # in calls, a caller waits
    offenders = []
    for path in SOURCES:
        package = path.relative_to(ROOT / "src" / "trimtab").parts[0]
        if package in surfaces or path.name in {"redaction.py", "parser.py"}:  # what they call is the user's own code
            continue
        offenders += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ExceptHandler) and _is_broad(node) and not _raises_again(node)
        ]
    assert offenders == []


HEAVY = [
    "numpy",
    "sqlalchemy",
    "alembic",
    "yaml",
    "starlette",
    "uvicorn",
    "openai",
    "anthropic",
    "rich",
    "click",
    "asyncio",
]


@pytest.mark.parametrize("statement", ["import trimtab", "from trimtab import Trimtab"])
def test_importing_the_sdk_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert loaded == []
