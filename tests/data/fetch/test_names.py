"""Names, addresses, lists and places of ``mambair fetch``."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mambair_cli.data import catalog
from mambair_cli.data.fetch import photos, sources
from tests.cli.run import run
from tests.data.fetch.server import Server
from tests.data.fetch.toys import (
    ARCHIVE,
    DRIVE,
    OTHER,
    PICTURES,
    QUOTA,
    SIGN_IN,
    Known,
    messages,
    nothing_in_place,
    tree,
    zipped,
)


def test_df2k_ends_in_the_layout_of_the_recipes(server: Server) -> None:
    folders = ("HR", "LR_bicubic/X2", "LR_bicubic/X3", "LR_bicubic/X4")
    files = {f"{folder}/0001{'' if folder == 'HR' else folder[-2:].lower()}.png": b"png" for folder in folders}
    server.drive("1TubDkirxl4qAWelfOnpwaSKoj3KLAIG4", zipped({f"DF2K/{name}": data for name, data in files.items()}))
    outcome = run("fetch", "DF2K", "--json")
    assert (outcome.code, json.loads(outcome.out)["missing"]) == (0, [])
    assert tree(Path("datasets/DF2K")) == files


def test_root_environment_and_flag(server: Server, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    monkeypatch.setenv("MAMBAIR_DATA", "mine")
    assert run("fetch", "toys").out == "mine/Toys\n"
    assert run("fetch", "toys", "--root", "yours").out == "yours/Toys\n"


def test_addresses_and_ids(server: Server) -> None:
    server.drive(DRIVE, ARCHIVE, name="../evil name.zip")
    for text in (DRIVE, f"https://drive.google.com/file/d/{DRIVE}/view?usp=sharing"):
        outcome = run("fetch", text, "--root", "r")
        assert (outcome.code, outcome.out) == (0, "r/.._evil name\n")
    assert run("fetch", DRIVE, "--root", "kept", "--no-unpack").out == "kept/.._evil name.zip\n"
    assert tree(Path("r/.._evil name")) == {"README": b"hello"} | {f"data/{k}": v for k, v in PICTURES.items()}


def drive_folder(server: Server, files: dict[str, str]) -> None:
    """A folder on Google Drive with a folder HR, in which are files by id and name."""
    links = "".join(f'<a href="https://drive.google.com/file/d/{key}/view">{name}</a>' for key, name in files.items())
    top = f'<a href="https://drive.google.com/drive/folders/{OTHER}">HR</a>'
    view = "/drive.google.com/embeddedfolderview?id="
    server.add(view + DRIVE, f"<html><title>toys</title>{top}</html>".encode(), kind="text/html")
    server.add(view + OTHER, f"<html><title>HR</title>{links}</html>".encode(), kind="text/html")
    for key, name in files.items():
        server.drive(key, name.encode(), name)


def test_a_folder_of_drive(server: Server, known: Known) -> None:
    drive_folder(server, {"a" * 30: "1.png", "b" * 30: "2.png"})
    known(f"folder:{DRIVE}", layout=("HR",))
    server.drive("b" * 30, QUOTA.encode(), "2.png")
    assert "limit of downloads" in messages(run("fetch", "toys").err)[0]
    assert nothing_in_place()
    server.drive("b" * 30, b"2.png", "2.png")
    assert run("fetch", "toys").code == 0
    assert tree(Path("datasets/Toys")) == {"HR/1.png": b"1.png", "HR/2.png": b"2.png"}
    assert len(server.things["/drive.google.com/uc?id=" + "a" * 30].requests) == 1
    assert run("fetch", "toys", "--renew").code == 0
    server.drive("b" * 30, b"changed", "2.png")
    Path("datasets/Toys").rename("elsewhere")
    assert "is not the one that datasets/fetched.json knows" in messages(run("fetch", "toys").err)[0]
    assert not Path("datasets/Toys").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [({}, "shows no files"), ({"a" * 30: "1.png", "b" * 30: "1.png"}, "two files of the same name")],
)
def test_a_folder_of_drive_that_is_of_no_use(files: dict[str, str], message: str, server: Server, known: Known) -> None:
    drive_folder(server, files)
    known(f"folder:{DRIVE}")
    assert message in messages(run("fetch", "toys").err)[0]
    server.things.clear()
    assert run("fetch", "toys").code == 1


def test_several_names_and_one_failure(server: Server, known: Known) -> None:
    server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    outcome = run("fetch", server.url("/none.bin"), "toys")
    assert (outcome.code, outcome.out) == (1, "datasets/Toys\n")
    assert "1 of 2 failed" in outcome.err


@pytest.mark.parametrize("name", ["DF2k_", "mambair-lihgt-x4", "toyz"])
def test_a_mistyped_name_gets_a_suggestion(name: str) -> None:
    outcome = run("fetch", name)
    assert outcome.code == 2
    if name == "toyz":
        assert messages(outcome.err)[1].startswith("Hint: See mambair fetch --list")
    else:
        assert f"Did you mean {'DF2K' if name[0] == 'D' else 'mambair-light-x4'}?" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to fetch was named"),
        (["DF2K", "--from", "none.zip"], "none.zip does not exist"),
        (["photos", "--from", __file__], "photos is made from many files"),
        (["DF2K", "SIDD", "--from", "none.zip"], "can be of one name only"),
        (["https://example.org/"], "does not end in the name of a file"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str) -> None:
    outcome = run("fetch", *arguments)
    assert outcome.code == 2
    assert message in messages(outcome.err)[0]


def test_the_list_and_a_dry_run_touch_nothing(server: Server) -> None:
    names = {entry["name"] for entry in json.loads(run("fetch", "--list", "--json").out)["known"]}
    assert {"DF2K", "photos", "RESIDE", "mambair-light-x4"} <= names
    assert "DF2K" in run("fetch", "--list").out
    facts = json.loads(run("fetch", "df2k", "--dry-run", "--json").out)
    assert facts["sources"][0] == "https://drive.google.com/uc?id=1TubDkirxl4qAWelfOnpwaSKoj3KLAIG4"
    assert (facts["target"], facts["there"]) == ("datasets/DF2K", False)
    assert facts["free"] > 0
    assert "datasets/photos" in run("fetch", "photos", "--dry-run").out
    assert not Path("datasets").exists()


def test_weights_go_to_the_cache_and_are_found_by_name(
    server: Server, checkpoint: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mambair_archs import MambaIRv2Light

    monkeypatch.setenv("MAMBAIR_CACHE", "cache")
    page = "/github.com/csguoh/MambaIR/releases/download/v1.0/mambairv2_lightSR_x2.pth"
    mirror = "/huggingface.co/cguoh/MambaIR/resolve/main/MambaIRv2_ckpt/mambairv2_lightSR_x2.pth"
    server.add(page, SIGN_IN.encode(), kind="text/html")
    server.add(mirror, checkpoint(MambaIRv2Light).read_bytes())
    before = run("models", "show", "mambairv2-light-x2")
    assert "Get it with mambair fetch mambairv2-light-x2." in before.err
    outcome = run("fetch", "mambairv2-light-x2")
    assert (outcome.code, outcome.out) == (0, "cache/models/mambairv2_lightSR_x2.pth\n")
    assert json.loads(run("models", "show", "mambairv2-light-x2", "--json").out)["network"] == "MambaIRv2Light"


def test_the_catalogue_is_sound() -> None:
    entries = catalog.datasets()
    names = [name.casefold() for entry in entries for name in entry.names]
    assert len(set(names)) == len(names)
    assert len({entry.target for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.verified == "never" or len(entry.verified) == 10
        assert all(sources.parse(source).kind in ("drive", "folder", "url", "page") for source in entry.sources)
        assert entry.sha256 is None or len(entry.sha256) == 64
    assert len(photos.listed(photos.manifest())) == 361


@pytest.mark.parametrize("text", ["http://[x", "https://[::1/a.zip", "page:http://[x", "page:", "http://"])
def test_what_only_begins_like_an_address_is_none(text: str) -> None:
    outcome = run("fetch", text)
    assert outcome.code == 2
    assert f"Nothing called {text} is known." in outcome.err
