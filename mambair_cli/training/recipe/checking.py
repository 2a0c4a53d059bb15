"""What no single key shows: whether the parts of a recipe fit together."""

import warnings
from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mambair_archs import ARCHITECTURES, Architecture, Descriptor
from mambair_archs.config import create, options

from ...data.combined import from_options
from ...data.degradations import KINDS, reduces
from ...errors import MambairError, UsageError
from ...weights import catalog
from .. import optimizers
from ..basicsr.signatures import registered
from . import components
from .locations import Document
from .mistakes import Mistake, dotted, nearest, shown, suggest
from .mistakes import Path as KeyPath
from .schema import OWN_MODEL, PLAIN_MODELS, OwnTrain
from .view import View

TWICE = (
    "resize_prob",
    "resize_range",
    "gaussian_noise_prob",
    "noise_range",
    "poisson_scale_range",
    "gray_noise_prob",
    "jpeg_range",
)
"""Options of Real-ESRGAN's models for the first round of degradations; those for the second one end in 2."""

DEGRADING = {"RealESRGANModel": ("l1_gt_usm", "percep_gt_usm", "gan_gt_usm"), "RealESRNetModel": ("gt_usm",)}
"""Models that degrade whole batches, and what each reads besides."""

OF_FEATURES = ("PerceptualLoss", "LPIPSLoss")
"""Losses that give a pair, for perceptual_opt alone."""

WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors")

Finding = tuple[KeyPath, str, str]
"""Path, what is wrong, and what to do."""


def mistakes(document: Document, told: Collection[KeyPath]) -> Iterator[Mistake]:
    """All that does not fit, but for ``told``, the paths that are known to be wrong."""
    view = View(document.data, told)
    for check in CHECKS:
        for path, what, hint in check(view):
            if path not in told:
                yield Mistake(document.place(path), what, path, view.get(*map(str, path)), hint)


def _own(recipe: View) -> tuple[Architecture | None, dict[str, Any]]:
    """Our network of this name, if it is one, and the options given."""
    given = dict(recipe.mapping("network_g"))
    kind = given.pop("type", None)
    return next((known for known in ARCHITECTURES if known.name == kind), None), given


def _described(recipe: View) -> Descriptor | None:
    """What our network is like with the options given; None if it is not ours, or cannot be built."""
    own, given = _own(recipe)
    if own is None or not recipe.sound("network_g"):
        return None
    try:
        return own.describe(create(own.config, given))
    except ValueError:
        return None


def phases(recipe: View) -> Iterator[Finding]:
    """Datasets are named after their phase."""
    for name in recipe.mapping("datasets"):
        phase = name.split("_")[0]
        if phase not in ("train", "val", "test") or (phase == "train" and name != "train"):
            near = nearest(name, ("train", "val", "test"))
            hint = f"Did you mean {near!r}?" if near else "Names are train, val or test, the latter also as val_1."
            yield ("datasets", name), f"datasets.{name} names no phase", hint
    if recipe.get("train") and not get_close_matches("train", recipe.mapping("datasets")):
        yield ("datasets",), "the recipe trains, but datasets has no 'train'", "Add it, or delete the section train."


def training_data(recipe: View) -> Iterator[Finding]:
    """What a training dataset needs, and sizes that the scale divides."""
    data, scale = recipe.mapping("datasets", "train"), recipe.scale
    if not recipe.get("train") or not data:
        return
    patches = data.get("type") in ("PairedImageDataset", "PhotoPatchDataset")
    for name in ("batch_size_per_gpu", *(("gt_size",) if patches else ())):
        if data.get(name) is None and not get_close_matches(name, data, cutoff=0.8):
            yield ("datasets", "train", name), f"datasets.train lacks {name!r}", "Training needs it."
    size = recipe.number("datasets", "train", "gt_size")
    if size and scale and patches and size % scale:
        fitting = max(size - size % scale, scale)
        what = f"gt_size is {size}, which the scale {scale} does not divide"
        yield ("datasets", "train", "gt_size"), what, f"Use {fitting} or {fitting + scale}."


def pairs(recipe: View) -> Iterator[Finding]:
    """Lists of folders go together one by one."""
    for name, data in recipe.mapping("datasets").items():
        if isinstance(data, dict) and data.get("type") == "PairedImageDataset":
            good, poor = (data.get(key) for key in ("dataroot_gt", "dataroot_lq"))
            counts = [len(value) if isinstance(value, list) else 1 for value in (good, poor)]
            if counts[0] != counts[1]:
                what = f"datasets.{name} has {counts[0]} dataroot_gt and {counts[1]} dataroot_lq"
                yield ("datasets", name, "dataroot_lq"), what, "Give one folder of degraded images for each clean one."


def scales(recipe: View) -> Iterator[Finding]:
    """The network enlarges as much as the data need."""
    scale = recipe.scale
    if scale is None:
        return
    yield from _network_scale(recipe, scale)
    for name in recipe.mapping("datasets"):
        for place, kind in _keeping_size(recipe.get("datasets", name, "degradation")) if scale != 1 else ():
            what = f"the degradation {kind} keeps the size, but the scale of the recipe is {scale}"
            yield ("datasets", name, "degradation", *place), what, "Use scale: 1, or bicubic."


def _network_scale(recipe: View, scale: int) -> Iterator[Finding]:
    own, found = _own(recipe)[0], _described(recipe)
    upscale = recipe.number("network_g", "upscale") or (found.scale if found else scale)
    if upscale == scale:
        return
    if own and "upscale" not in options(own.config):
        does = "keeps the size" if upscale == 1 else f"enlarges {upscale} times"
        yield ("scale",), f"scale is {scale}, but {own.name} {does}", f"Use scale: {upscale}."
    else:
        what = f"network_g.upscale is {upscale}, but the scale of the recipe is {scale}"
        yield ("network_g", "upscale"), what, "Make them equal."


def _keeping_size(degradation: Any) -> Iterator[tuple[KeyPath, str]]:
    """Degradations that do not reduce what reaches them first."""
    match degradation:
        case {"type": "mix", "of": [*parts]}:
            inner = [("of", number, part) for number, part in enumerate(parts)]
            yield from _keeping_parts(inner)
        case {"type": "chain", "steps": [first, *_]}:
            yield from _keeping_parts([("steps", 0, first)])
        case {"type": str(kind)} if kind in KINDS and not reduces(kind):
            yield ("type",), kind


def degradations(recipe: View) -> Iterator[Finding]:
    """What only a look at a whole combination shows."""
    for name in recipe.mapping("datasets"):
        options = recipe.mapping("datasets", name, "degradation")
        if options and recipe.sound("datasets", name) and not any(_keeping_size(options)):
            try:
                from_options(options, recipe.scale or 1)
            except UsageError as error:
                yield ("datasets", name, "degradation"), error.message.rstrip("."), error.hint


def _keeping_parts(parts: list[tuple[str, int, Any]]) -> Iterator[tuple[KeyPath, str]]:
    for key, number, part in parts:
        for place, kind in _keeping_size(part):
            yield (key, number, *place), kind


def channels(recipe: View) -> Iterator[Finding]:
    """Networks with one channel need gray images."""
    found = _described(recipe)
    chans = found.in_channels if found else recipe.number("network_g", "in_chans")
    for name in recipe.mapping("datasets"):
        kind, gray = recipe.get("datasets", name, "type"), recipe.get("datasets", name, "gray")
        if kind in ("PhotoPatchDataset", "PhotoFolderDataset") and chans in (1, 3) and bool(gray) != (chans == 1):
            what = f"network_g takes {chans} channels, but datasets.{name} gives {1 if gray else 3}"
            yield ("datasets", name), what, f"Write gray: {'true' if chans == 1 else 'false'}."


def milestones(recipe: View) -> Iterator[Finding]:
    """Milestones rise and come before the end; one at the end is harmless, and published."""
    path, total = ("train", "scheduler", "milestones"), recipe.number("train", "total_iter")
    steps = recipe.numbers(*path)
    if steps != sorted(steps):
        ordered = ", ".join(f"{step:g}" if step < 1e6 else f"{step:.0f}" for step in sorted(steps))
        yield path, f"{dotted(path)} does not rise", f"Write [{ordered}]."
    if late := [step for step in steps if total and step > total]:
        what = f"{dotted(path)} has {shown(late[0])}, but training ends at total_iter {total}"
        yield path, what, "Lower it, or raise total_iter."


def restarts(recipe: View) -> Iterator[Finding]:
    """Weights go with restarts or periods, and periods fill the training."""
    scheduler, total = recipe.mapping("train", "scheduler"), recipe.number("train", "total_iter")
    weights = recipe.numbers("train", "scheduler", "restart_weights") or [1]
    key = "periods" if "periods" in scheduler else "restarts"
    steps = recipe.numbers("train", "scheduler", key) or [0]
    if len(weights) != len(steps):
        what = f"train.scheduler has {len(steps)} {key} and {len(weights)} restart_weights"
        yield ("train", "scheduler", key), what, "Give one weight for each."
    if key == "periods" and key in scheduler and total and sum(steps) < total:
        what = f"train.scheduler.periods end at {sum(steps):g}, but total_iter is {total}"
        yield ("train", "scheduler", key), what, "Make the last period longer."


def network(recipe: View) -> Iterator[Finding]:
    """Our networks say what values they cannot be built with."""
    own, given = _own(recipe)
    if own is None or not recipe.sound("network_g"):
        return
    try:
        create(own.config, given)
    except ValueError as error:
        culprit = next((name for name in given if str(error).startswith(name)), None)
        path: KeyPath = ("network_g", culprit) if culprit else ("network_g",)
        yield path, f"{own.name} cannot be built: {error}", ""


def optimisation(recipe: View) -> Iterator[Finding]:
    """PyTorch says what values its optimisers refuse, other packages whether they are there."""
    for name in ("optim_g", "optim_d"):
        yield from _tried(recipe, name, components.OPTIMIZERS, _optimizer)


def _optimizer(kind: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings(action="ignore"):
        optimizers.build(kind, [torch.nn.Parameter(torch.zeros(1))], (), **options)


def schedule_free(recipe: View) -> Iterator[Finding]:
    """One optimiser does what a scheduler, a warm-up and averaged weights do for the others, which need a scheduler."""
    if not (kind := recipe.get("train", "optim_g", "type")):
        return
    if kind != optimizers.SCHEDULE_FREE:
        if not recipe.get("train", "scheduler") and not get_close_matches("scheduler", recipe.mapping("train")):
            yield ("train", "scheduler"), "train lacks 'scheduler'", "How the learning rate changes."
        return
    for name, empty, hint in (
        ("scheduler", None, "Delete it."),
        ("warmup_iter", -1, "Use warmup_steps of optim_g."),
        ("ema_decay", 0, "Delete it; the average of the optimiser takes its place."),
    ):
        if recipe.get("train", name) not in (None, empty):
            yield ("train", name), f"{kind} goes without train.{name}", hint


def scheduling(recipe: View) -> Iterator[Finding]:
    """PyTorch's schedulers are tried on a stand-in."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    build = partial(_built, torch.optim.lr_scheduler, optimizer)
    yield from _tried(recipe, "scheduler", components.SCHEDULERS, build)


def _built(module: Any, subject: Any, kind: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings(action="ignore"):
        getattr(module, kind)(subject, **options)


def _tried(recipe: View, name: str, kinds: Collection[str], build: Callable[..., None]) -> Iterator[Finding]:
    """What an exception says about a section of ``train`` in which the schema finds nothing wrong."""
    path = ("train", name)
    options = dict(recipe.mapping(*path))
    kind = options.pop("type", None)
    if kind in kinds and recipe.sound(*path):
        try:
            build(kind, options)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            yield path, f"{dotted(path)} is refused by PyTorch: {error}", ""
        except MambairError as error:
            yield (*path, "type"), error.message.rstrip("."), error.hint


def basicsr_models(recipe: View) -> Iterator[Finding]:
    """BasicSR's own models know one optimiser and two schedulers."""
    kind = recipe.get("model_type")
    if kind == OWN_MODEL or not isinstance(kind, str):
        return
    hint = f"Use model_type: {OWN_MODEL}, which knows them all."
    for name in ("optim_g", "optim_d"):
        if (optimizer := recipe.get("train", name, "type")) in components.OPTIMIZERS and optimizer != "Adam":
            yield ("train", name, "type"), f"{kind} knows the optimiser Adam only, not {optimizer}", hint
    if (scheduler := recipe.get("train", "scheduler", "type")) in components.SCHEDULERS:
        yield ("train", "scheduler", "type"), f"{kind} does not know the scheduler {scheduler}", hint


def unused(recipe: View) -> Iterator[Finding]:
    """Keys that the chosen model would ignore."""
    kind = recipe.get("model_type")
    if kind != OWN_MODEL and isinstance(kind, str):
        for name in OwnTrain.model_fields.keys() & recipe.mapping("train").keys():
            if recipe.get("train", name):
                yield (
                    ("train", name),
                    f"{kind} does not know train.{name}",
                    f"Use model_type: {OWN_MODEL}, or delete it.",
                )
    if kind in PLAIN_MODELS:
        for path in (("network_d",), ("train", "gan_opt"), ("train", "optim_d")):
            if recipe.get(*path):
                yield path, f"{kind} has no discriminator, so {dotted(path)} does nothing", "Delete it."
        for name, idle in (("net_d_iters", 1), ("net_d_init_iters", 0)):
            if recipe.get("train", name) not in (None, idle):
                yield ("train", name), f"{kind} has no discriminator, so train.{name} does nothing", "Delete it."
    if recipe.get("path", "pretrain_network_d") and not recipe.get("network_d"):
        what = "the recipe has no network_d that path.pretrain_network_d could start"
        yield ("path", "pretrain_network_d"), what, "Delete it."
    if recipe.get("train", "ema_warmup") and not recipe.get("train", "ema_decay"):
        what = "train.ema_warmup does nothing without train.ema_decay"
        yield ("train", "ema_warmup"), what, "Add ema_decay: 0.999, say, or delete it."
    for name in recipe.mapping("datasets"):
        own = recipe.get("datasets", name, "scale")
        if own is not None and recipe.scale and own != recipe.scale:
            what = f"datasets.{name}.scale is {shown(own)}, but the scale of the recipe is {recipe.scale}"
            yield ("datasets", name, "scale"), what, "Delete it; the recipe's own counts."


def batch_degradations(recipe: View) -> Iterator[Finding]:
    """Models that degrade whole batches have no defaults for it."""
    kind = str(recipe.get("model_type"))
    if kind not in DEGRADING or not recipe.get("train"):
        return
    rounds = ["gt_size", "second_blur_prob", *(name + number for number in ("", "2") for name in TWICE)]
    if recipe.get("high_order_degradation") is False:  # pairs are given
        rounds = []
    for name in (*rounds, *DEGRADING[kind]):
        if recipe.get(name) is None:
            yield (name,), f"the recipe lacks {name!r}, which {kind} needs", "Add it beside model_type."


def stages(recipe: View) -> Iterator[Finding]:
    """Patches in stages are cut from those of the data set."""
    size = recipe.number("datasets", "train", "gt_size")
    parts = int(recipe.number("train", "accumulate") or 1)
    batch = int(recipe.number("datasets", "train", "batch_size_per_gpu") or 1) * parts
    if not recipe.sound("train", "progressive") or not size:
        return
    for number, stage in enumerate(recipe.get("train", "progressive") or ()):
        path = ("train", "progressive", number)
        if stage["gt_size"] > size or stage["gt_size"] % (recipe.scale or 1):
            what = f"gt_size {stage['gt_size']} is no multiple of the scale up to datasets.train.gt_size, {size}"
            yield (*path, "gt_size"), what, "Change it, or raise that of the data set."
        if stage["batch"] > batch or stage["batch"] % parts:
            what = f"batch {stage['batch']} is no multiple of accumulate up to {batch}, the samples of a step"
            yield (*path, "batch"), what, "Change it, or raise batch_size_per_gpu."


def losses(recipe: View) -> Iterator[Finding]:
    """Something must be minimised."""
    train = recipe.mapping("train")
    if train and not any(name.endswith("_opt") and value for name, value in train.items()):
        yield ("train",), "train has no loss", "Add pixel_opt: {type: L1Loss}, say."


def places_of_losses(recipe: View) -> Iterator[Finding]:
    """Losses between features and those between pixels have places of their own."""
    if (kind := recipe.get("train", "pixel_opt", "type")) in OF_FEATURES:
        yield ("train", "pixel_opt", "type"), f"{kind} compares features, not pixels", "Write it as perceptual_opt."
    kind = str(recipe.get("train", "perceptual_opt", "type"))
    if kind in registered("losses") and kind not in OF_FEATURES:
        what = f"{kind} compares no features"
        yield ("train", "perceptual_opt", "type"), what, f"Use one of {', '.join(OF_FEATURES)}, or pixel_opt."


def validation(recipe: View) -> Iterator[Finding]:
    """A validation that never happens is a mistake."""
    if recipe.get("train") and recipe.get("val") and recipe.get("val", "val_freq") is None:
        yield ("val",), "val lacks 'val_freq'", "Training needs it: the steps between validations."


def files(recipe: View) -> Iterator[Finding]:
    """Weights and training states are told apart by their names."""
    for name, value in recipe.mapping("path").items():
        if not isinstance(value, str):
            continue
        if name == "resume_state" and not value.endswith(".state"):
            yield (
                ("path", name),
                f"path.{name} is {shown(value)}, no training state",
                "Name a file that ends in .state.",
            )
        models = [entry.name for entry in catalog.entries()]
        if name.startswith("pretrain_network") and value not in models and Path(value).suffix not in WEIGHTS:
            what = f"path.{name} is {shown(value)}, neither a file of weights nor a model of the catalogue"
            yield ("path", name), what, suggest(value, models) if nearest(value, models) else "Name a .pth file."


CHECKS = (
    phases,
    training_data,
    pairs,
    scales,
    degradations,
    channels,
    milestones,
    restarts,
    network,
    optimisation,
    schedule_free,
    scheduling,
    basicsr_models,
    unused,
    batch_degradations,
    stages,
    losses,
    places_of_losses,
    validation,
    files,
)
