"""Imports point down and never in a circle: the three floors, the room of files below the rest of the application."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "kernels": {"mambair_kernels"},
    "archs": {"mambair_kernels", "mambair_archs"},
    "mambair_cli/files": {"mambair_cli.errors", "mambair_cli.files"},
}
"""What of ours a folder may import."""


def imported(path: Path, package: list[str]) -> set[str]:
    """Modules of ours that a file imports, in full."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= (
                {base, *(f"{base}.{each.name}" for each in node.names)}
                if node.module
                else {f"{base}.{each.name}" for each in node.names}
            )
    return {name for name in found if name.startswith("mambair_")}


@pytest.mark.parametrize("folder", BELOW)
def test_nothing_above_is_imported(folder: str) -> None:
    top = ROOT / folder if folder.startswith("mambair_cli") else ROOT / folder / f"mambair_{folder}"
    base = ROOT if folder.startswith("mambair_cli") else ROOT / folder
    files = sorted(top.rglob("*.py"))
    assert files
    for path in files:
        for name in imported(path, list(path.relative_to(base).parts[:-1])):
            assert any(f"{name}.".startswith(f"{allowed}.") for allowed in BELOW[folder]), f"{path} imports {name}"


def test_no_circle() -> None:
    """Of modules, those that are imported within a function included."""
    modules = {}
    for base, top in ((ROOT, "mambair_cli"), (ROOT / "archs", "mambair_archs"), (ROOT / "kernels", "mambair_kernels")):
        for path in (base / top).rglob("*.py"):
            parts = path.relative_to(base).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = imported(path, list(path.relative_to(base).parts[:-1]))
    assert len(modules) > 200
    graph = {}
    for name, found in modules.items():
        nearest = {each for each in found if each in modules and each != name}
        packages = {each.rpartition(".")[0] for each in nearest}  # of which a module was meant
        graph[name] = {each for each in nearest if each not in packages}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names it
