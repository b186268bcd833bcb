"""Who may import whom, read from the source; and what the command line may not load before a command runs."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED = {
    "assistant": {"assistant"},
    "retrieval": {"retrieval", "assistant"},
    "finetune": {"finetune", "assistant"},
    "ui": {"ui", "retrieval", "finetune", "assistant"},
}
NOT_IMPORTABLE = {"data", "tests"}
#: They cost between a tenth of a second and three seconds each; only functions may import them.
HEAVY = {"torch", "transformers", "peft", "faiss", "gradio", "sentence_transformers", "matplotlib", "markitdown", "datasets"}
#: Files meant for a heavy library, which nothing else may import while it is itself being imported.
MEANT_FOR = {"ui/chat.py": {"gradio"}}
#: Not to be loaded by ``deskhand --help``, which must answer in under 0.3 s.
NOT_FOR_HELP = HEAVY | {"sqlalchemy", "alembic", "numpy", "pydantic", "fastapi", "uvicorn", "langchain_core", "bm25s", "orjson"}
FILES = sorted(path for folder in ALLOWED for path in (ROOT / folder).rglob("*.py"))


def _imported(nodes: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module, node.lineno
            # `from ui import intake` names the package; the module in it is what is imported.
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names if module in ALLOWED)


def _everywhere(path: Path) -> list[tuple[str, int]]:
    """All imports of a file, inside functions and under TYPE_CHECKING too."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return list(_imported([node for node in ast.walk(tree) if isinstance(node, ast.stmt)]))


def _on_loading(path: Path) -> list[tuple[str, int]]:
    """The imports that run when the file is imported: not those in functions, nor under TYPE_CHECKING."""

    def statements(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from statements(node.orelse)
                continue
            yield node
            for block in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, block, []))
            for handler in getattr(node, "handlers", []):
                yield from statements(handler.body)

    return list(_imported(list(statements(ast.parse(path.read_text(encoding="utf-8"), str(path)).body))))


@cache
def _edges() -> dict[str, set[str]]:
    """Which of our modules each one imports while it is itself imported."""
    modules = {_module(path): path for path in FILES}
    return {
        module: {name for name, _ in _on_loading(path) if name in modules and name != module and name not in ALLOWED}
        for module, path in modules.items()
    }


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_a_file_imports_only_its_own_floor_and_those_below(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    breaches = [
        f"{_name(path)}:{line} imports {name}"
        for name, line in _everywhere(path)
        if (top := name.split(".")[0]) in set(ALLOWED) | NOT_IMPORTABLE and top not in ALLOWED[floor]
    ]
    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_imports_name_the_whole_path(path: Path) -> None:
    relative = [f"{_name(path)}:{line}" for name, line in _everywhere(path) if name.startswith(".")]
    assert not relative, relative


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_heavy_libraries_are_imported_at_first_use_only(path: Path) -> None:
    heavy = HEAVY - MEANT_FOR.get(_name(path), set())
    found = [f"{_name(path)}:{line} imports {name}" for name, line in _on_loading(path) if name.split(".")[0] in heavy]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_files_meant_for_a_heavy_library_are_imported_at_first_use_only(path: Path) -> None:
    edges = _edges()
    meant = {name.removesuffix(".py").replace("/", ".") for name in MEANT_FOR}
    found = edges[_module(path)] & meant
    assert not found, f"{_name(path)} imports {', '.join(found)} while it is itself imported"


def test_no_file_takes_part_in_a_circle() -> None:
    edges = _edges()
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join([*way[way.index(module) :], module])}"
        if module in done:
            return
        for following in sorted(edges[module]):
            visit(following, (*way, module))
        done.add(module)

    for module in sorted(edges):
        visit(module, ())


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_a_package_file_holds_a_docstring_and_nothing_else(folder: str) -> None:
    for path in (ROOT / folder).rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1, _name(path)
        assert isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant), _name(path)


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from ui.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as left:\n    assert not left.code, left.code\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(ran.stdout.rsplit("LOADED", 1)[1].split())
    assert "Usage: deskhand" in ran.stdout
    assert "ui" in loaded
    assert not loaded & NOT_FOR_HELP


def test_the_breaches_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "try:\n    import faiss\nexcept ImportError:\n    import numpy\n"
        "class Thing:\n    import gradio.blocks\n"
        "def inside():\n    from ui import cli\n"
    )
    assert {name for name, _ in _on_loading(path)} == {"typing", "faiss", "numpy", "gradio.blocks"}
    assert ("ui", 11) in _everywhere(path)
