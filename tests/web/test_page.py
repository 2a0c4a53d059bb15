"""The page in a real browser, and the HTTP interface."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from PIL import Image

from tests.cli.run import run
from tests.web.test_service import png

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not find_spec("nicegui"), reason="the extra [ui] is not installed")
in_browser = pytest.mark.skipif(
    not (CHROMIUM and find_spec("playwright")), reason="Chromium or playwright is not installed"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mambair_cli", "ui", "--no-browser", "--port", str(port), "--max-mib", "1"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}  # nicegui heeds them
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while True:
            try:
                requests.get(address, timeout=5)
                break
            except requests.ConnectionError:
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.1)
        yield address
        process.terminate()
        assert process.wait(30) == 143
        assert process.stdout is not None
        said = process.stdout.read()
        assert "Traceback" not in said
        assert said.startswith(f"{address}, until Ctrl-C")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def give(page: "Page", *files: Path) -> None:
    page.set_input_files("input[type=file]", files)


def picture(folder: Path, name: str, size: tuple[int, int] = (12, 9)) -> Path:
    (folder / name).write_bytes(png(size))
    return folder / name


@in_browser
def test_give_restore_compare_download(address: str, browser: "Browser", tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(address)
    page.get_by_role("button", name="Remove noise").click()
    give(page, picture(tmp_path, "a.png"), picture(tmp_path, "b.png"))
    page.get_by_text("b.png", exact=True).wait_for()
    page.get_by_role("button", name="Restore", exact=False).last.click()
    page.get_by_text("Remove noise: done in").nth(1).wait_for(timeout=60_000)
    page.get_by_role("button", name="Compare before and after").first.click()
    slider = page.get_by_label("before and after", exact=True)
    slider.fill("25")
    assert page.locator(".compare").evaluate("e => e.style.getPropertyValue('--at')") == "25%"
    assert page.locator(".compare img").evaluate_all("all => all.every(i => i.complete && i.naturalWidth > 0)")
    page.get_by_role("button", name="Close").click()
    with page.expect_download() as one:
        page.get_by_role("button", name="Download a_denoised.png").click()
    with Image.open(one.value.path()) as result:
        assert result.size == (12, 9)
    with page.expect_download() as all_of_them:
        page.get_by_role("button", name="Download all").click()
    with zipfile.ZipFile(all_of_them.value.path()) as archive:
        assert sorted(archive.namelist()) == ["a_denoised.png", "b_denoised.png"]
    page.close()


@in_browser
def test_bad_files_are_told_and_work_can_be_stopped(address: str, browser: "Browser", tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(address)
    (tmp_path / "words.png").write_bytes(b"no picture")
    give(page, tmp_path / "words.png")
    page.get_by_text("words.png", exact=False).first.wait_for()
    assert page.get_by_role("button", name="Remove from this list").count() == 0
    Image.new("RGB", (2400, 1800)).save(tmp_path / "wide.png")
    give(page, tmp_path / "wide.png")
    page.get_by_text("2400 x 1800").wait_for(timeout=60_000)
    page.get_by_role("button", name="Restore", exact=False).last.click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("stopped", exact=True).wait_for(timeout=60_000)
    page.close()


@in_browser
def test_two_visitors_see_their_own_pictures(address: str, browser: "Browser", tmp_path: Path) -> None:
    pages = [browser.new_page() for _ in range(2)]
    for number, page in enumerate(pages):
        page.goto(address)
        give(page, picture(tmp_path, f"mine{number}.png"))
        page.get_by_text(f"mine{number}.png").wait_for()
    for page in pages:
        page.get_by_role("button", name="Restore", exact=False).last.click()
    for number, page in enumerate(pages):
        page.get_by_text("Enlarge: done in").wait_for(timeout=60_000)
        assert page.get_by_text(f"mine{1 - number}.png").count() == 0
        page.close()


def test_the_interface_restores_and_says_what_is_wrong(address: str) -> None:
    assert "/api/restore" in requests.get(f"{address}/openapi.json", timeout=30).json()["paths"]
    answer = order(address, task="upscale", scale="2")
    assert answer.status_code == 202
    place = f"{address}/api/tickets/{answer.json()['id']}"
    while (ticket := requests.get(place, timeout=30).json())["state"] in ("waiting", "running"):
        time.sleep(0.05)
    assert (ticket["state"], ticket["name"]) == ("done", "a_x2.png")
    with Image.open(io.BytesIO(requests.get(f"{place}/result", timeout=30).content)) as result:
        assert result.size == (24, 18)
    assert requests.delete(place, timeout=30).status_code == 204
    for url in (place, f"{address}/api/previews/none"):
        assert requests.get(url, timeout=30).status_code == 404
    refused = order(address, task="derain")
    assert refused.status_code == 422
    assert "There is no task derain. Use upscale" in refused.json()["detail"]


def order(address: str, **fields: str) -> requests.Response:
    return requests.post(f"{address}/api/restore", fields, files={"picture": ("a.png", png())}, timeout=30)


@pytest.mark.parametrize(
    ("header", "code"), [({"Host": "evil.example"}, 421), ({"Origin": "http://evil.example"}, 403)]
)
def test_other_sites_cannot_use_it(header: dict[str, str], code: int, address: str) -> None:
    assert requests.get(f"{address}/api/tickets/x", headers=header, timeout=30).status_code == code


def test_a_port_in_use_and_a_missing_file() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = run("ui", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 2
    assert "cannot be listened at" in outcome.err
    assert "There is no file none.png" in run("ui", "none.png").err


def test_entries_of_the_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    entry = Path(run("ui", "--install").out.strip())
    assert entry == tmp_path / "applications/mambair.desktop"
    assert "ui %F\n" in entry.read_text()
    assert "image/jpeg" in entry.read_text()
