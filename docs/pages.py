"""Pages of the site that are made, not written: from the files at the top, the commands and the declarations."""

import subprocess
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).parents[1]
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "datasets/README.md": "data.md",
}
"""Files of the project that are pages, by their names there."""

ELSEWHERE = ("tests/archs/toy.py",)
"""Files that pages link to and that are none."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    pages = {target: _moved(source) for source, target in MOVED.items()}
    pages["commands.md"] = _said("-m", "typer", "mambair_cli.app", "utils", "docs", "--name", "mambair")
    pages["recipes.md"] = _said("-m", "mambair_cli", "train", "--reference")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def _said(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], cwd=PROJECT, check=True, capture_output=True, text=True).stdout


def _moved(source: str) -> str:
    """The text of a file with its links as they are on the site."""
    text = (PROJECT / source).read_text(encoding="utf-8").replace("](docs/", "](")
    for name, page in MOVED.items():
        text = text.replace(f"]({name})", f"]({page})")
    for name in ELSEWHERE:
        text = text.replace(f"]({name})", "](architecture.md)")
    return text
