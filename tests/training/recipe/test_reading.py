"""Reading recipes: options as BasicSR makes them, overrides, packaged recipes, and the JSON Schema."""

import json
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mambair_cli.data import degradations
from mambair_cli.errors import MambairError, UsageError
from mambair_cli.training.recipe.mistakes import Mistake
from mambair_cli.training.recipe.published import RENAMED
from mambair_cli.training.recipe.reading import RecipeError, json_schema, packaged, read_recipe

from .recipes import BASE, broken, write
from .test_locations import VALUES

LINES = BASE.splitlines()
KEYS = [number for number, line in enumerate(LINES) if len(line.strip().partition(":")[0]) >= 5]
needs_basicsr = pytest.mark.skipif(find_spec("basicsr") is None, reason="BasicSR is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipes")


def refused(path: Path, *overrides: str) -> str:
    """The messages for a recipe, below one another."""
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, overrides)
    return "\n".join(map(str, caught.value.mistakes))


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KEYS), st.integers(1, 30), st.sampled_from(["twice", "left out", "swapped", "x"]))
def test_a_typo_in_any_key_is_found_where_it_is_and_put_right(folder: Path, number: int, at: int, how: str) -> None:
    indent, key = len(LINES[number]) - len(LINES[number].lstrip()), LINES[number].strip().partition(":")[0]
    at = 1 + at % (len(key) - 2)
    middle = {"twice": key[at] * 2, "left out": "", "swapped": key[at + 1], "x": "x"}[how]
    typo = key[:at] + middle + (key[at] + key[at + 2 :] if how == "swapped" else key[at + 1 :])
    if typo == key or any(typo in names for names in RENAMED.values()):
        return
    lines = [*LINES[:number], LINES[number].replace(key, typo, 1), *LINES[number + 1 :]]
    with pytest.raises(RecipeError) as caught:
        read_recipe(write(folder, "\n".join(lines)))
    hints = [m.suggestion for m in caught.value.mistakes if (m.place.line, m.place.column) == (number + 1, indent + 1)]
    assert f"Did you mean {key!r}?" in hints


def paths(data: Any, start: str = "") -> list[str]:
    """All keys, dotted."""
    if not isinstance(data, dict):
        return []
    return [path for key, value in data.items() for path in (f"{start}{key}", *paths(value, f"{start}{key}."))]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(paths(yaml.safe_load(BASE))), VALUES), min_size=1, max_size=3))
def test_any_value_anywhere_is_taken_or_refused_with_its_place(folder: Path, changes: list[tuple[str, Any]]) -> None:
    overrides = [
        f"{key}={yaml.safe_dump(value, default_flow_style=True, width=1000).strip()}" for key, value in changes
    ]
    found: tuple[Mistake, ...] = ()
    try:
        read_recipe(write(folder), overrides)
    except RecipeError as error:
        found = error.mistakes
    assert all(mistake.place.column for mistake in found)
    assert len(set(map(str, found))) == len(found)


def test_options_are_those_that_basicsr_makes(tmp_path: Path) -> None:
    options = read_recipe(write(tmp_path)).options
    train = options["datasets"]["train"]
    assert (train["phase"], train["scale"], train["dataroot_gt"]) == ("train", 2, "photos/HR")
    expected = yaml.safe_load(BASE)
    expected["datasets"]["train"] |= {"phase": "train", "scale": 2}
    expected["train"]["optim_g"]["lr"] = 2e-4
    assert lacking(expected, options) == []


@needs_basicsr
def test_options_equal_those_of_basicsrs_own_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, because BasicSR seeds and prints."""
    path = write(tmp_path)
    code = (
        "import json, sys\n"
        "from mambair_cli.training.basicsr.bridge import load\n"
        "load()\n"
        "from basicsr.utils.options import parse_options\n"
        f"sys.argv = ['train.py', '-opt', {str(path)!r}]\n"
        "opt, _ = parse_options('.', is_train=True)\n"
        "print('JSON' + json.dumps(opt))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.rpartition("JSON")[2])
    ours = read_recipe(path).options
    for key in ("dist", "rank", "world_size", "auto_resume", "is_train"):
        del theirs[key]
    theirs["path"] = {key: theirs["path"][key] for key in ours["path"] if key in theirs["path"]}
    assert lacking(theirs, ours) == []


def lacking(some: Any, more: Any) -> list[Any]:
    """What of some options is not the same among more of them."""
    if isinstance(some, dict) and isinstance(more, dict):
        return [(key, each) for key in some for each in (lacking(some[key], more[key]) if key in more else ["absent"])]
    return [] if some == more else [(some, more)]


def test_overrides_are_yaml_and_the_last_one_wins(tmp_path: Path) -> None:
    overrides = ["train.total_iter=600", "train.total_iter=700", "train.optim_g.lr=1e-3", "network_g.depths=[1, 1, 1]"]
    overrides += ["datasets.val={name: v, type: PhotoFolderDataset, dataroot_gt: v}", "val.val_freq=5", "name='07'"]
    options = read_recipe(write(tmp_path), overrides).options
    assert (options["train"]["total_iter"], options["train"]["optim_g"]["lr"]) == (700, 1e-3)
    assert options["network_g"]["depths"] == [1, 1, 1]
    assert (options["datasets"]["val"]["phase"], options["val"]["save_img"], options["name"]) == ("val", False, "07")


def test_an_override_can_put_a_mistake_of_the_file_right(tmp_path: Path) -> None:
    path = write(tmp_path, broken(("gt_size: 96", "gt_size: 97")))
    assert "gt_size is 97, which the scale 2 does not divide. Use 96 or 98." in refused(path)
    assert read_recipe(path, ["datasets.train.gt_size=98"])


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.scheduler.restarts=[0, 100]"], "2 restarts and 1 restart_weights. Give one weight for each."),
        (
            ["train.scheduler={type: CosineAnnealingRestartLR, periods: [100, 200], restart_weights: [1, 1]}"],
            "train.scheduler.periods end at 300, but total_iter is 500. Make the last period longer.",
        ),
        (["train.scheduler={type: StepLR, step_size: 5}"], "SRModel does not know the scheduler StepLR."),
        (["train.optim_g.type=AdamW"], "SRModel knows the optimiser Adam only, not AdamW."),
        (["train.optim_g.eps=-1"], "train.optim_g is refused by PyTorch: Invalid epsilon value"),
        (["train.pixel_opt=~"], "train has no loss. Add pixel_opt: {type: L1Loss}, say."),
        (["network_g.upsampler=pixelshufle"], "network_g.upsampler is 'pixelshufle', which is not known."),
        (["network_g.embed_dim=20"], "MambaIR cannot be built: embed_dim 20 is smaller than squeeze_factor"),
        (["network_g.type=MambaIRUNet"], "unknown key 'upscale' in network_g."),
        (["path.resume_state=net_g_5.pth"], "path.resume_state is 'net_g_5.pth', no training state."),
        (["path.pretrain_network_g=mambair-lite-x2"], "Did you mean 'mambair-light-x2'?"),
        (["val={save_img: true}"], "val lacks 'val_freq'. Training needs it: the steps between validations."),
        (["datasets.vall={name: v, type: SingleImageDataset, dataroot_lq: v}"], "names no phase. Did you mean 'val'?"),
        (["datasets.train.type=PairdImageDataset"], "no dataset has this name. Did you mean 'PairedImageDataset'?"),
        (["model_type=SRModl"], "model_type is 'SRModl', which is not known. Did you mean 'SRModel'?"),
        (["val.metrics.p={type: calculate_pnsr}"], "no metric has this name. Did you mean 'calculate_psnr'?"),
        (["train.ema_decay=1"], "train.ema_decay is 1, expected less than 1."),
        (["train.optim_g.lr=.inf"], "train.optim_g.lr is inf, expected a finite number."),
        (["datasets.train.dataroot_gt=[a, b]"], "has 2 dataroot_gt and 1 dataroot_lq. Give one folder of degraded"),
        (["total_iter=5"], "unknown key 'total_iter' in the recipe. It belongs to train."),
        (["name=2024-01-01"], "name is datetime.date(2024, 1, 1), expected text. Put it in quotes."),
    ],
)
def test_what_does_not_fit_is_said(overrides: list[str], expected: str, tmp_path: Path) -> None:
    assert expected in refused(write(tmp_path), *overrides)


def test_degradations_and_channels_must_fit_the_network(tmp_path: Path) -> None:
    photos = "datasets.train={name: p, type: PhotoPatchDataset, dataroot_gt: p, gt_size: 96, batch_size_per_gpu: 1"
    said = refused(write(tmp_path), photos + ", gray: true, degradation: {type: jpeg, qualty: 3}}")
    assert "unknown key 'qualty' in datasets.train.degradation. Did you mean 'quality'?" in said
    assert "the degradation jpeg keeps the size, but the scale of the recipe is 2. Use scale: 1, or bicubic." in said
    assert "network_g takes 3 channels, but datasets.train gives 1. Write gray: false." in said
    assert "lacks 'quality'" not in said
    assert "expected at most 100" in refused(
        write(tmp_path), photos + ", degradation: {type: jpeg, quality: [1, 101]}}"
    )


def test_combined_degradations_are_checked_to_the_last_part(tmp_path: Path) -> None:
    photos = (
        "datasets.train={name: p, type: PhotoPatchDataset, dataroot_gt: p, gt_size: 96, batch_size_per_gpu: 1,"
        " gray_probability: 2, degradation: {type: mix, shares: [-1], of: [{type: noise, sigma: 3}, {type: chain, "
    )
    said = refused(write(tmp_path), photos + "steps: [{type: jpeg, quality: 101}, {type: blur}]}]}}")
    for words in (
        "datasets.train.gray_probability is 2, expected at most 1.0",
        "datasets.train.degradation.shares.0 is -1, expected at least 0.0",
        "datasets.train.degradation.of.1.steps.0.quality.0 is 101, expected at most 100.0",
        "datasets.train.degradation.of.1.steps.1.type is 'blur', no degradation has this name",
        "the degradation noise keeps the size, but the scale of the recipe is 2",
        "the degradation jpeg keeps the size, but the scale of the recipe is 2",
    ):
        assert words in said


def test_a_photo_may_be_reduced_before_it_is_harmed(tmp_path: Path) -> None:
    photos = (
        "datasets.train={name: p, type: PhotoPatchDataset, dataroot_gt: p, gt_size: 96, batch_size_per_gpu: 1,"
        " degradation: {type: mix, of: [{type: bicubic}, {type: chain, steps: [{type: %s}, {type: %s}]}]}}"
    )
    assert "keeps the size" in refused(write(tmp_path), photos % ("none", "none"))
    assert "keeps the size" not in refused(write(tmp_path), photos % ("bicubic", "none"), "train.total_iter=x")


def test_the_schema_knows_the_degradations_there_are() -> None:
    kinds: dict[str, Any] = degradations.KINDS
    described = {
        section["properties"]["type"]["const"]: section["properties"].keys() - {"type"}
        for section in json_schema()["$defs"].values()
        if section["properties"].get("type", {}).get("const") in kinds
    }
    assert described == {kind: {f.name for f in fields(made)} - {"scale"} for kind, made in kinds.items()}


def test_a_recipe_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "a recipe is a mapping" in refused(write(tmp_path, ""))
    assert "a recipe is a mapping" in refused(write(tmp_path, "- a"))
    write(tmp_path).write_bytes(b"name: \xff\xfe")
    with pytest.raises(MambairError, match="not text in UTF-8: byte 6"):
        read_recipe(tmp_path / "r.yml")


def test_a_recipe_of_the_working_folder_comes_before_the_packaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_recipe("options/lightSR_x2.yml").path == packaged()["options/lightSR_x2.yml"]
    assert read_recipe("test/lightSR_x2").options["name"] == "test_lightSR_x2"
    (tmp_path / "options").mkdir()
    (tmp_path / "options/lightSR_x2.yml").write_text(BASE)
    assert read_recipe("options/lightSR_x2.yml").options["name"] == "tiny"
    with pytest.raises(UsageError) as caught:
        read_recipe("options/lightSR_x5.yml")
    assert "does not exist" in caught.value.message
    assert "options/lightSR_x" in caught.value.hint


@needs_basicsr
def test_plain_basicsr_recipes_are_understood_and_checked(tmp_path: Path) -> None:
    network = "network_g={type: EDSR, num_in_ch: 3, num_out_ch: 3, num_feat: 8, upscale: 2, rgb_mean: [0.4, 0.4, 0.4]}"
    assert read_recipe(write(tmp_path), [network]).options["network_g"]["type"] == "EDSR"
    swin = "network_g={type: SwinIR, upscale: 2, img_size: 48, window_size: 8, depths: [6, 6], num_heads: [6, 6]}"
    assert read_recipe(write(tmp_path), [swin, "model_type=SwinIRModel"])
    said = refused(write(tmp_path), network.replace("num_feat: 8", "num_feats: eight").replace("num_in_ch: 3, ", ""))
    assert "unknown key 'num_feats' in network_g. Did you mean 'num_feat'?" in said
    assert "network_g lacks 'num_in_ch'. Channel number of inputs." in said


@needs_basicsr
def test_what_only_other_models_read_is_left_to_them(tmp_path: Path) -> None:
    extra = ["resize_prob=[0.2, 0.7, 0.1]", "train.net_g_reg_every=4"]
    assert "unknown key" not in refused(write(tmp_path), "model_type=RealESRNetModel", *extra)
    assert read_recipe(write(tmp_path), ["model_type=StyleGAN2Model", *extra[1:]])
    assert "unknown key 'resize_prob' in the recipe" in refused(write(tmp_path), *extra)
    data = "datasets.train={name: d, type: RealESRGANDataset, dataroot_gt: d, gt_size: 4, batch_size_per_gpu: 1"
    assert read_recipe(write(tmp_path), [data + ", blur_sigma: [0.2, 3]}"])
    assert "Did you mean 'blur_sigma'?" in refused(write(tmp_path), data + ", blur_sigmas: [0.2, 3]}")


def test_without_basicsr_our_own_parts_are_still_checked(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['basicsr'] = None\n"
        "from mambair_cli.errors import MambairError\n"
        "from mambair_cli.training.recipe.reading import packaged, read_recipe\n"
        "for path in packaged().values(): read_recipe(path)\n"
        "try: read_recipe('options/SR_x2.yml', ['network_g.type=EDSR'])\n"
        "except MambairError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "no network has this name" in done.stdout
    assert "BasicSR, which may, is not installed." in done.stdout


def test_editors_get_a_schema_that_documents_and_types_every_key() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for section in ("Train", "Val", "Logger", "Paths", "PairedImageDataset", "PhotoPatchDataset", "MambaIRv2", "noise"):
        for name, described in schema["$defs"][section]["properties"].items():
            assert name == "type" or described.get("description"), f"{section}.{name}"


def _changed(change: str) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(BASE)
    data["train"]["optim_g"]["lr"] = 2e-4
    changes: dict[str, dict[str, Any]] = {"typo": {"scal": 2}, "type": {"scale": "two"}, "right": {}}
    return data | changes[change]


@pytest.mark.parametrize("change", ["right", "typo", "type"])
def test_the_schema_for_editors_agrees_with_the_reader(change: str) -> None:
    right = jsonschema.Draft202012Validator(json_schema()).is_valid(_changed(change))
    assert right == (change == "right")


def test_reading_needs_no_import_of_basicsr(tmp_path: Path) -> None:
    code = "import sys; from mambair_cli.training.recipe.reading import read_recipe; assert 'torch' not in sys.modules;"
    code += f"read_recipe({str(write(tmp_path))!r}); assert 'basicsr' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("model_type=SRModel", "train.clip_grad_norm=1.0"), "SRModel does not know train.clip_grad_norm"),
        (("model_type=SRModel", "train.accumulate=2"), "SRModel does not know train.accumulate"),
        (("train.optim_d={type: Adam, lr: 1e-4}",), "train.optim_d does nothing"),
        (("train.net_d_init_iters=5",), "train.net_d_init_iters does nothing"),
        (("path.pretrain_network_d=net_d.pth",), "no network_d"),
        (("train.ema_decay=0", "train.ema_warmup=true", "model_type=MambaIRModel"), "without train.ema_decay"),
        (("datasets.train.scale=3",), "datasets.train.scale is 3, but the scale of the recipe is 2"),
    ],
)
def test_no_key_is_taken_and_ignored(tmp_path: Path, overrides: tuple[str, ...], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        read_recipe(write(tmp_path), overrides)


def test_keys_without_effect_are_told_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert read_recipe(path).notes == ()
    quiet = [
        "datasets.train.prefetch_mode=cpu",
        "dist_params={backend: nccl, port: 1234}",
        "val={val_freq: 5, pbar: true}",
    ]
    [note] = read_recipe(path, quiet).notes
    assert note == f"{path}: no effect here: datasets.train.prefetch_mode, dist_params.port, val.pbar."


def test_keys_of_other_models_are_told(tmp_path: Path) -> None:
    gan = ["model_type=ESRGANModel", "train.gan_opt={type: GANLoss, gan_type: vanilla}", "gan_gt_usm=false"]
    gan += [
        "network_d={type: VGGStyleDiscriminator, num_in_ch: 3, num_feat: 4}",
        "train.optim_d={type: Adam, lr: 1e-4}",
    ]
    [note] = read_recipe(write(tmp_path), gan).notes
    assert note.endswith("no effect here: gan_gt_usm.")
