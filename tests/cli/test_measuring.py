"""``mambair test`` from the outside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.basicsr_parts import installed, part
from mambair_cli.images.decode import decode
from tests.cli.run import run
from tests.data.pictures import natural, write


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data root with two sets."""
    for name, count in (("Five", 2), ("Six", 1)):
        for number in range(count):
            write(tmp_path / "data" / "SR" / name / "HR" / f"im{number}.png", natural(number, 48, 60))
    return tmp_path / "data"


@pytest.mark.skipif(not installed(), reason="BasicSR is not installed")
def test_figures_and_saved_images_agree_with_basicsr(x2: Path, data: Path, tmp_path: Path) -> None:
    outcome = run(
        *("test", "--json", "--model", str(x2), "--data", str(data / "SR" / "Five"), "-o", str(tmp_path / "out"))
    )
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert (record["set"], record["crop_border"], record["y_channel"], record["protocol"]) == ("Five", 2, True, "whole")
    published = part("metrics.psnr_ssim")
    for row in record["images"]:
        saved, good = (
            decode(folder / f"{row['image']}.png").pixels[:, :, ::-1]
            for folder in (tmp_path / "out" / "Five", data / "SR" / "Five" / "HR")
        )
        assert row["psnr"] == pytest.approx(published.calculate_psnr(saved, good, 2, test_y_channel=True), abs=1e-4)
        assert row["ssim"] == pytest.approx(published.calculate_ssim(saved, good, 2, test_y_channel=True), abs=1e-4)
    assert record["psnr"] == pytest.approx(np.mean([row["psnr"] for row in record["images"]]))


def test_several_sets_by_name_end_in_a_summary(x2: Path, data: Path) -> None:
    outcome = run(
        *("test", "--root", str(data), "--model", str(x2), "--data", "five", "--data", "Six"),
        *("--channel", "rgb", "--crop", "0", "--protocol", "paper", "--published", "mambair-light-x2"),
    )
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "Image",
        "im0",
        "im1",
        "Five,",
        "Image",
        "im0",
        "Six,",
        "Set",
        "Five",
        "Six",
    ]
    mean = lines[3].split()[2]
    assert mean == lines[8].split()[2]
    first, second = (float(line.split()[1]) for line in lines[1:3])
    assert float(mean) == pytest.approx((first + second) / 2, abs=0.01)


def test_channel_and_border_change_the_figure(x2: Path, data: Path) -> None:
    figures = set()
    for options in ([], ["--channel", "rgb"], ["--crop", "6"]):
        outcome = run("test", "--json", "--root", str(data), "--model", str(x2), "--data", "Six", *options)
        figures.add(json.loads(outcome.out)["psnr"])
    assert len(figures) == 3


def test_published_figures_stand_beside_ours(x2: Path, tmp_path: Path) -> None:
    write(tmp_path / "Set5" / "HR" / "im0.png", natural(0, 48, 60))
    arguments = ("test", "--model", str(x2), "--data", str(tmp_path / "Set5"), "--published", "mambair-light-x2")
    assert json.loads(run(*arguments, "--json").out)["published_psnr"] == 38.13  # MambaIRv2 paper, table 3
    assert run(*arguments).out.splitlines()[-1].split() == ["published", "(mambair-light-x2)", "38.13"]


def test_noise_and_jpeg_are_made_on_request(x1: Path, tmp_path: Path) -> None:
    write(tmp_path / "plain" / "im0.png", natural(0, 48, 60))
    sources = []
    for options in (["--sigma", "15"], ["--quality", "10"]):
        outcome = run("test", "--json", "--model", str(x1), "--data", str(tmp_path / "plain"), *options)
        record = json.loads(outcome.out)
        sources.append(record["source"])
        assert (record["crop_border"], record["y_channel"]) == (0, False)
    assert sources == ["noise 15", "JPEG 10"]


def test_saved_images_are_kept_unless_told_otherwise(x2: Path, data: Path, tmp_path: Path) -> None:
    arguments = ("test", "--root", str(data), "--model", str(x2), "--data", "Six", "-o", str(tmp_path / "out"))
    assert run(*arguments).code == 0
    again = run(*arguments)
    assert again.code == 1
    assert "im0.png exists already" in again.err
    assert again.out == ""
    assert run(*arguments, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ([], 2, "Nothing says what to test"),
        (["--data", "Six"], 2, "Nothing says what to test"),
        (["--model", "X2", "--data", "Seven"], 1, "no set of that name"),
        (["--model", "X2", "--data", "Six", "--published", "nobody"], 2, "no model nobody"),
        (["--model", "X2", "--data", "Six", "--sigma", "5", "--quality", "5"], 2, "exclude each other"),
        (["--model", "X2", "--data", "Six", "--quality", "0"], 2, "--quality"),
        (["--model", "X1", "--data", "Six"], 2, "nothing says how to make them"),
        (["--model", "nothing.pth", "--data", "Six"], 1, "nothing.pth does not exist"),
    ],
)
def test_mistakes_are_said(x1: Path, x2: Path, data: Path, options: list[str], code: int, words: str) -> None:
    models = {"X1": str(x1), "X2": str(x2)}
    outcome = run("test", "--root", str(data), *(models.get(option, option) for option in options))
    assert outcome.code == code
    assert words in outcome.err
    assert outcome.out == ""


RECIPE = """
name: tiny
model_type: MambaIRModel
scale: 2
datasets:
  test_1: {name: Five, type: PhotoFolderDataset, dataroot_gt: SR/Five/HR}
  test_2: {name: Six, type: PairedImageDataset, dataroot_gt: SR/Six/HR, dataroot_lq: SR/Six/LR, filename_tmpl: '{}x2'}
network_g: {type: MambaIR, upscale: 2, upsampler: pixelshuffledirect}
path: {pretrain_network_g: tiny.pth}
val:
  metrics:
    psnr: {type: calculate_psnr, crop_border: 4, test_y_channel: true}
"""


@pytest.fixture
def recipe(x2: Path, data: Path) -> Path:
    (data / "tiny.pth").symlink_to(x2)
    write(data / "SR" / "Six" / "LR" / "im0x2.png", natural(5, 24, 30))
    path = data / "tiny.yml"
    path.write_text(RECIPE)
    return path


def records(*arguments: str) -> list[dict[str, Any]]:
    outcome = run("test", "--json", *arguments)
    assert outcome.code == 0, outcome.err
    return [json.loads(line) for line in outcome.out.splitlines()]


def test_a_recipe_says_what_to_measure_and_how(recipe: Path, data: Path, x2: Path) -> None:
    made, paired = records("--root", str(data), str(recipe))
    assert [(each["set"], each["crop_border"], each["y_channel"]) for each in (made, paired)] == [
        ("Five", 4, True),
        ("Six", 4, True),
    ]
    five, six = (
        records("--model", str(x2), "--data", str(data / "SR" / name), "--crop", "4")[0] for name in ("Five", "Six")
    )
    assert five["psnr"] == made["psnr"]
    assert six["psnr"] != paired["psnr"]  # the recipe's files are of another picture


def test_changes_and_flags_win_over_the_recipe(recipe: Path, data: Path) -> None:
    (only,) = records("--root", str(data), str(recipe), "val.metrics.psnr.crop_border=0", "--data", "Five")
    assert only["crop_border"] == 0
    assert records("--root", str(data), str(recipe), "--crop", "1", "--channel", "rgb")[0]["y_channel"] is False


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ("path.pretrain_network_g=~", 2, "names no model"),
        ("path.pretrain_network_g=mambair-light-x2", 1, "mambair-light-x2 has not been downloaded"),
        ("network_g.type=MambaIRv2Light", 2, "is for MambaIRv2Light x2, but"),
        ("datasets.test_1.dataroot_gt=SR/Seven/HR", 1, "SR/Seven/HR does not exist"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(recipe: Path, data: Path, change: str, code: int, words: str) -> None:
    outcome = run("test", "--root", str(data), str(recipe), change)
    assert outcome.code == code
    assert words in outcome.err
    assert outcome.out == ""
