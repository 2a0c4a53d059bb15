"""``mambair test``: PSNR and SSIM of a model on sets of images, beside the published figures."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..console import Console
from ..errors import UsageError
from ..files.places import data_root
from .common import check_backend, command

if TYPE_CHECKING:
    from ..data.imagesets import ImageSet
    from ..metrics.evaluate import Measure, SetScores
    from ..weights.catalog import CatalogEntry
    from ..weights.model import Model


class Protocol(StrEnum):
    """How an image goes through the network."""

    whole = "whole"
    paper = "paper"


class Channel(StrEnum):
    """What is compared."""

    y = "y"
    rgb = "rgb"


def _test(
    console: Console,
    recipe: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE [KEY=VALUE]...]", help="A YAML recipe that names model and sets, and changes."),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME|FILE", help="Model by name or file. Default: the recipe's.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="NAME|DIR", help="Set by name, or a folder of images. May be repeated."),
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="Whole images, or the parts of 200 pixels of the published evaluation.")
    ] = Protocol.whole,
    channel: Annotated[
        Channel | None, typer.Option(help="Luma or colours. Default: y after enlarging, else rgb.")
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option("--crop", min=0, metavar="PIXELS", help="Border left out. Default: the scale, 0 for scale 1."),
    ] = None,
    sigma: Annotated[
        float | None, typer.Option("--sigma", min=0, max=255, help="Add Gaussian noise of this strength (of 255).")
    ] = None,
    quality: Annotated[
        int | None, typer.Option("--quality", min=1, max=100, help="Compress with JPEG of this quality.")
    ] = None,
    published: Annotated[
        str | None, typer.Option("--published", metavar="NAME", help="Compare with this model of the catalogue.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Save the restored images there.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace saved images that exist.")] = False,
    tile: Annotated[
        int, typer.Option("--tile", min=0, metavar="PIXELS", help="Tile edge for whole images. Default: no tiles.")
    ] = 0,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    root: Annotated[
        Path | None, typer.Option("--root", help="Folder of the data.", envvar="MAMBAIR_DATA", show_default="datasets")
    ] = None,
) -> None:
    """Measure PSNR and SSIM of a model on sets of images.

    A folder may hold good images alone; then the low-quality ones are made: MATLAB's bicubic, noise or JPEG.

    Example: mambair test --model mambairv2_lightSR_x4.pth --data Set5 --data Set14
    """
    _check_usage(recipe, model, data, sigma, quality)
    place = root or data_root()
    options = _options(console, recipe)
    loaded = _load(model or _weights(options, place), options, device)
    measure = _measure(loaded, options)
    measure = replace(
        measure,
        protocol=protocol.value,
        tile=tile,
        crop_border=measure.crop_border if crop is None else crop,
        y_channel=measure.y_channel if channel is None else channel is Channel.y,
    )
    entry = _entry(loaded, published)
    sets = _sets(data, options, loaded.descriptor.scale, place, sigma, quality)
    results = [_run(console, loaded, images, measure, entry, output, overwrite) for images in sets]
    if len(results) > 1:
        _summary(console, results)


def _check_usage(
    recipe: list[str] | None, model: str | None, data: list[str] | None, sigma: float | None, quality: int | None
) -> None:
    if not recipe and not (model and data):
        raise UsageError("Nothing says what to test.", "Give a recipe, or --model and --data.")
    if sigma is not None and quality is not None:
        raise UsageError("--sigma and --quality exclude each other.", "Give one of them.")
    if not data and (sigma is not None or quality is not None):
        raise UsageError("--sigma and --quality go with --data.", "Change the recipe's datasets instead.")


def _options(console: Console, recipe: list[str] | None) -> dict[str, Any]:
    if not recipe:
        return {}
    from ..training.recipe.reading import read_recipe

    read = read_recipe(recipe[0], recipe[1:])
    for note in read.notes:
        console.note(note)
    return read.options


def _weights(options: dict[str, Any], root: Path) -> str:
    """The recipe's file; the catalogue's name for one that is not there, so that the message says how to get it."""
    from ..files.places import located
    from ..weights import catalog

    written = options.get("path", {}).get("pretrain_network_g")
    if not written:
        raise UsageError("The recipe names no model to test.", "Set path.pretrain_network_g, or give --model.")
    path = located(written, root)
    known = {entry.file: entry.name for entry in catalog.entries()}
    return str(path) if path.exists() else known.get(path.name, str(path))


def _load(name: str, options: dict[str, Any], device: str) -> "Model":
    from ..images.planes import check_channels
    from ..restoration.memory import keep_freed_memory
    from ..weights.loader import load
    from .defaults import known_model

    keep_freed_memory()
    model = _recipes_own(name, options, device) or load(known_model(name), device)
    check_channels(model.descriptor.in_channels, model.name)
    check_backend(model.device)
    wanted, scale = options.get("network_g", {}).get("type"), int(options.get("scale", model.descriptor.scale))
    found = model.architecture
    if (wanted or found, scale) != (found, model.descriptor.scale):
        raise UsageError(
            f"The recipe is for {wanted or found} x{scale}, but {name} is {found} x{model.descriptor.scale}.",
            "Give the recipe of this model, or another --model.",
        )
    return model


def _recipes_own(name: str, options: dict[str, Any], device: str) -> "Model | None":
    """A network of BasicSR with the recipe's options, if that is what the recipe tests."""
    from mambair_archs import ARCHITECTURES

    wanted = options.get("network_g", {}).get("type")
    if wanted is None or wanted in {known.name for known in ARCHITECTURES} or not Path(name).is_file():
        return None
    from ..training.basicsr import trained
    from ..weights.model import resolve_device

    return trained.load(Path(name), resolve_device(device), {"scale": 1, **options})


def _measure(model: "Model", options: dict[str, Any]) -> "Measure":
    """What the recipe's first PSNR compares, else what is customary."""
    from ..metrics.evaluate import customary

    usual = customary(model)
    metrics = (options.get("val") or {}).get("metrics") or {}
    for metric in metrics.values():
        if metric.get("type") == "calculate_psnr":
            border = int(metric.get("crop_border", usual.crop_border))
            return replace(usual, crop_border=border, y_channel=bool(metric.get("test_y_channel", False)))
    return usual


def _entry(model: "Model", name: str | None) -> "CatalogEntry | None":
    from ..metrics.evaluate import entry_of
    from ..weights import catalog

    if name is None:
        return entry_of(model)
    entry = catalog.by_name(name)
    if entry is None:
        raise UsageError(f"The catalogue has no model {name}.", "See mambair models list.")
    return entry


def _sets(
    data: list[str] | None, options: dict[str, Any], scale: int, root: Path, sigma: float | None, quality: int | None
) -> "list[ImageSet]":
    """All sets, found and checked before the first is measured."""
    from ..data import imagesets

    if data:
        return [imagesets.open_set(imagesets.find(name, root), scale, sigma, quality) for name in data]
    entries = [entry for phase, entry in options["datasets"].items() if not phase.startswith("train")]
    if not entries:
        raise UsageError("The recipe has no dataset to test on.", "Add datasets.test_1, or give --data.")
    return [imagesets.from_recipe(entry, scale, root) for entry in entries]


def _run(
    console: Console,
    model: "Model",
    images: "ImageSet",
    measure: "Measure",
    entry: "CatalogEntry | None",
    output: Path | None,
    overwrite: bool,
) -> "SetScores":
    from ..files.outputs import check_new
    from ..metrics import evaluate

    places = {sample.name: output / images.name / f"{sample.name}.png" for sample in images.samples} if output else {}
    if not overwrite:
        for place in places.values():
            check_new(place)

    def keep(name: str, restored: Any) -> None:
        if name in places:
            _save(places[name], restored, overwrite)

    scores = []
    with console.progress(images.name) as progress:
        for score in evaluate.scores(model, images, measure, keep):
            scores.append(score)
            progress(len(scores), len(images.samples))
    result = evaluate.SetScores(images.name, images.source, scores, evaluate.published(entry, images.name))
    _show(console, result, model, measure, entry)
    return result


def _save(place: Path, restored: Any, overwrite: bool) -> None:
    from ..files.outputs import publish, reserved
    from ..images.encode import encode
    from ..images.picture import Picture

    with reserved(place) as temporary:
        publish(temporary, place, encode(Picture(restored), ".png"), overwrite)


def _show(
    console: Console, result: "SetScores", model: "Model", measure: "Measure", entry: "CatalogEntry | None"
) -> None:
    from dataclasses import asdict

    from rich.table import Table

    table = Table("Image", "PSNR", "SSIM", "Seconds", box=None, pad_edge=False)
    for score in result.scores:
        table.add_row(score.image, f"{score.psnr:.2f}", f"{score.ssim:.4f}", f"{score.seconds:.2f}")
    table.add_section()
    seconds = sum(score.seconds for score in result.scores)
    table.add_row(f"{result.set}, mean", f"{result.psnr:.2f}", f"{result.ssim:.4f}", f"{seconds:.2f}")
    if result.published is not None and entry is not None:
        table.add_row(f"published ({entry.name})", f"{result.published:.2f}", "", "")
    console.table(table, {"model": model.name, **asdict(measure), **result.record()})


def _summary(console: Console, results: "list[SetScores]") -> None:
    from rich.table import Table

    if console.json:
        return  # each set has been printed with its means
    table = Table("Set", "Images", "PSNR", "SSIM", "Published", box=None, pad_edge=False)
    for result in results:
        known = "" if result.published is None else f"{result.published:.2f}"
        table.add_row(result.set, str(len(result.scores)), f"{result.psnr:.2f}", f"{result.ssim:.4f}", known)
    console.table(table, {})


test = command(_test, extensible=True)
