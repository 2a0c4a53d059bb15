"""Models as folders of the Hugging Face hub: weights, what they are, and a card."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..files.outputs import publish, reserved, writing
from ..weights.export import Content, content
from ..weights.loader import WEIGHTS

CONFIG, CARD = "config.json", "README.md"


def export(
    source: str, folder: Path, *, name: str | None = None, task: str | None = None, half: bool = False, overwrite: bool
) -> list[Path]:
    """Write a model as a folder that :func:`mambair_cli.load_model` and the hub take; the weights come last.

    Args:
        source: a file or a name of the catalogue.
        folder: new, or empty.
        name: the name it carries; None keeps the one it has.
        task: what it is for; None keeps what is known.
        half: store floats in 16 bits.
        overwrite: replace the three files where they are.

    Returns:
        What was written.

    Raises:
        ModelError: the source cannot be read, or is no known network.
        UsageError: its network cannot do ``task``.
        OutputError: the folder holds something, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file.", "Give the name of a new folder.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(f"The folder {folder} is not empty.", "Add --overwrite, or give another folder.")
    made = content(source, name=name, task=task, half=half)
    config = json.dumps(_config(made), indent=2, sort_keys=True) + "\n"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    parts = {CARD: _card(made).encode(), CONFIG: config.encode(), WEIGHTS: made.data}
    for file, data in parts.items():
        with reserved(folder / file) as temporary:
            publish(temporary, folder / file, data, overwrite)
    return [folder / file for file in parts]


def _config(made: Content) -> dict[str, Any]:
    """For readers and the hub; our loader takes what the tensors say."""
    return {
        "library_name": "mambair",
        "architecture": made.found.architecture.name,
        "options": asdict(made.found.config),
        "name": made.about["name"],
        "task": made.about.get("task"),
        "scale": made.found.descriptor.scale,
    }


def _card(made: Content) -> str:
    name, task, scale = made.about["name"], made.about.get("task"), made.found.descriptor.scale
    head = ["---", "library_name: mambair", "pipeline_tag: image-to-image"]
    if made.licence:
        head.append(f"license: {made.licence.lower()}")
    tags = [*([task] if task else []), "mamba", "image-restoration"]
    command = task or ("upscale" if scale > 1 else "denoise")
    does = f"enlarges pictures {scale} times" if scale > 1 else "restores pictures at their size"
    lines = [
        *head,
        f"tags: [{', '.join(tags)}]",
        "---",
        "",
        f"# {name}",
        "",
        f"A {made.found.architecture.name} that {does}" + (f", trained to {task}." if task else "."),
        "",
        "```sh",
        f"mambair {command} picture.png --model FOLDER",
        "```",
        "",
        "```python",
        "from mambair_cli import load_model, restore",
        "",
        'result = restore(picture, load_model("FOLDER"))  # numpy, (height, width[, channels])',
        "```",
        "",
    ]
    if made.psnr:
        rows = [f"| {data} | {value:.2f} dB |" for data, value in made.psnr.items()]
        lines += ["| data | PSNR |", "|---|---|", *rows, ""]
    return "\n".join(lines)
