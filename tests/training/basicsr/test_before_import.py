"""BasicSR imports and works whatever torchvision, distutils and SciPy are; each defect is seen before its cure."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mambair_cli.errors import MambairError
from mambair_cli.training.basicsr import before_import, bridge, torchvision_stub

HIDE = """
import sys, warnings
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def python(program: str) -> str:
    paths = f"import sys; sys.path[:0] = {[str(Path(__file__).parents[3]), *sys.path]!r}\n"
    done = subprocess.run([sys.executable, "-c", paths + program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_torchvision_and_distutils_everything_imports_and_a_loss_is_computed() -> None:
    out = python(
        HIDE.format(names=("torchvision", "distutils"))
        + "from mambair_cli.training.basicsr import bridge; bridge.load()\n"
        "import torch, torchvision, basicsr, importlib.util\n"
        "from basicsr.losses import build_loss\n"
        "from basicsr.utils import tensor2img\n"
        "from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, MODEL_REGISTRY\n"
        "loss = build_loss({'type': 'L1Loss'})(torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2))\n"
        "print(torchvision.__version__, importlib.util.find_spec('torchvision') is not None, loss.item())\n"
        "print(tensor2img(torch.ones(2, 3, 4, 4)).shape)\n"
        "print('MambaIRUNet' in ARCH_REGISTRY, 'MambaIRv2Model' in MODEL_REGISTRY)\n"
        "print('PhotoPatchDataset' in DATASET_REGISTRY)\n"
    )
    assert out.splitlines() == ["0.0 True 1.0", "(14, 8, 3)", "True True", "True"]


def test_the_stub_computes_what_torchvision_does() -> None:
    before_import.import_torchvision()
    functional, utils = (import_module(f"torchvision.{name}") for name in ("transforms.functional", "utils"))
    image = torch.rand(3, 5, 7)
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.6, 0.7]
    torch.testing.assert_close(
        torchvision_stub.normalize(image, mean, std), functional.normalize(image, mean, std), rtol=0, atol=1e-7
    )
    for channels in (1, 3):
        gray = torchvision_stub.rgb_to_grayscale(image, channels)
        torch.testing.assert_close(gray, functional.rgb_to_grayscale(image, channels), rtol=0, atol=1e-6)
    for count, columns in ((1, 8), (2, 1), (5, 2), (4, 8)):
        images = torch.rand(count, 3, 4, 6)
        assert torch.equal(torchvision_stub.make_grid(images, columns), utils.make_grid(images, columns))


def test_what_the_stub_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    torchvision_stub.install()
    vgg = import_module("torchvision.models.vgg")
    with pytest.raises(AttributeError, match=r"vgg\.vgg19 needs torchvision, which cannot be imported"):
        _ = vgg.vgg19
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_torchvision_that_is_broken_otherwise_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[bool] = []
    monkeypatch.setattr(torchvision_stub, "install", lambda: installed.append(True))
    monkeypatch.setattr(before_import, "_forget", lambda package: None)
    declared: list[str] = []
    monkeypatch.setattr(before_import, "_declare", declared.append)
    for error in (ImportError("libjpeg.so"), OSError("cannot map"), RuntimeError("something else")):

        def fail(name: str, error: Exception = error) -> ModuleType:
            raise error

        monkeypatch.setattr(before_import, "import_module", fail)
        before_import.import_torchvision()
    assert (installed, declared) == ([True] * 3, [])
    monkeypatch.setattr(before_import, "import_module", _missing_operators(["nms", "qnms"]))
    before_import.import_torchvision()
    assert (installed, declared) == ([True] * 3, ["nms", "qnms"])


def _missing_operators(names: list[str]) -> Any:
    def fail(name: str) -> None:
        if names:
            raise RuntimeError(f"operator torchvision::{names.pop(0)} does not exist")

    return fail


def test_distutils_compares_versions_when_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "distutils"]:
        monkeypatch.delitem(sys.modules, name)

    def gone(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(before_import, "import_module", gone)
    monkeypatch.setattr(before_import, "_offer", lambda name, **content: offered.update({name: content}))
    offered: dict[str, Any] = {}
    before_import.give_distutils()
    version = offered["distutils.version"]["LooseVersion"]
    assert version("0.28.0+cpu") >= version("0.9.0")
    assert not version("0.8.2") >= version("0.9.0")


def test_basicsr_absent_is_told_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "find_spec", lambda name: None)
    with pytest.raises(MambairError) as caught:
        bridge.load.__wrapped__()
    assert caught.value.message == "Training needs BasicSR, which is not installed."
    assert "--no-build-isolation --no-deps basicsr==1.4.2" in caught.value.hint
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    with pytest.raises(MambairError, match=r"cannot be built on Python 3\.13: its setup\.py"):
        bridge.load.__wrapped__()


def test_jpeg_takes_a_quality_that_was_drawn() -> None:
    import basicsr.data.degradations as degradations

    image = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    again = degradations.add_jpg_compression(image, 49.7)
    assert np.array_equal(again, degradations.add_jpg_compression(image, 49))
    assert degradations.random_add_jpg_compression(image, (20.0, 30.0)).shape == image.shape


def test_scipy_filters_are_there_without_a_warning() -> None:
    assert import_module("scipy.ndimage.filters").convolve is import_module("scipy.ndimage").convolve
