"""``mambair fetch`` against a local server that has the faults of the real ones."""

import hashlib
import json
import random
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mambair_cli.data.fetch import checks, record
from mambair_cli.data.fetch.partial import TAIL, Partial
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
    tarred,
    tree,
    zipped,
)

BIG = random.Random(0).randbytes(2_000_000)

FORM = (
    '<html><body><form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    f'<input type="hidden" name="id" value="{DRIVE}">'
    '<input type="hidden" name="confirm" value="t"></form></body></html>'
)


def test_a_data_set_is_fetched_unpacked_arranged_and_recorded(server: Server, known: Known) -> None:
    server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    outcome = run("fetch", "toys")
    assert (outcome.code, outcome.out) == (0, "datasets/Toys\n")
    assert "Terms: CC0." in outcome.err
    assert tree(Path("datasets/Toys")) == PICTURES
    entry = json.loads(Path("datasets/fetched.json").read_text())["Toys"]
    assert (entry["sha256"], entry["bytes"]) == (hashlib.sha256(ARCHIVE).hexdigest(), len(ARCHIVE))
    assert set(tree(Path("datasets"))) == {"Toys/HR/1.png", "Toys/LR/1.png", record.NAME}


def test_a_data_set_is_fetched_into_a_store(server: Server, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    store = pytest.importorskip("fsspec", reason="fsspec is not installed").filesystem("memory")
    Path("scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(Path("scratch").resolve()))
    thing = server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    told = [json.loads(run("fetch", "toys", "--root", "memory://data/sets", "--json").out) for _ in range(2)]
    assert [(each["path"], each["fetched"]) for each in told] == [("memory://data/sets/Toys", n == 0) for n in (0, 1)]
    asked = len(thing.requests)
    found = {name.removeprefix("/data/sets/"): store.cat(name) for name in store.find("/data/sets")}
    assert json.loads(found.pop(record.NAME))["Toys"]["sha256"] == hashlib.sha256(ARCHIVE).hexdigest()
    assert {name.removeprefix("Toys/"): data for name, data in found.items()} == PICTURES
    assert not list(Path("scratch").rglob("*.png"))
    assert json.loads(run("fetch", "toys", "--root", "memory://data/sets", "--dry-run", "--json").out)["there"]
    assert len(thing.requests) == asked
    store.rm("/data", recursive=True)


def test_what_is_there_is_not_fetched_again(server: Server, known: Known) -> None:
    thing = server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    run("fetch", "Toys")
    asked = len(thing.requests)
    outcome = run("fetch", "TOYS", "--json")
    assert (outcome.code, json.loads(outcome.out)["fetched"], len(thing.requests)) == (0, False, asked)


def test_a_large_file_of_drive_is_confirmed(server: Server, known: Known) -> None:
    server.page(DRIVE, FORM)
    server.add(f"/drive.usercontent.google.com/download?id={DRIVE}&confirm=t", ARCHIVE, name="toys.zip")
    known(f"drive:{DRIVE}")
    assert run("fetch", "toys").code == 0
    assert tree(Path("datasets/Toys")) == PICTURES


PAGES: dict[str, tuple[Callable[[Server], object], str, str]] = {
    "quota page of Drive": (lambda s: s.page(DRIVE, QUOTA), "its limit of downloads is reached", "--from FILE"),
    "sign-in page of Drive": (lambda s: s.page(DRIVE, SIGN_IN), "asks to sign in", "Open the address in a browser"),
    "no such file on Drive": (lambda s: None, "the file is private or gone", "Open the address in a browser"),
    "quota page as data": (
        lambda s: s.drive(DRIVE, QUOTA.encode()),
        "answers with a page that says its limit of downloads is reached",
        "--from FILE",
    ),
    "sign-in page as data": (lambda s: s.drive(DRIVE, SIGN_IN.encode()), "a page that asks to sign in", "browser"),
    "page with a link to sign in": (
        lambda s: s.drive(DRIVE, b"<html><title>Code</title><a href='/login'>Sign in</a></html>"),
        "sends a web page in place of the file",
        "browser",
    ),
    "any page as data": (lambda s: s.drive(DRIVE, b"\n <!DOCTYPE html><p>Hi"), "sends a web page", "browser"),
    "pointer of Git LFS": (
        lambda s: s.drive(DRIVE, b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "sends a pointer of Git LFS",
        "browser",
    ),
    "nothing": (lambda s: s.drive(DRIVE, b""), "sends an empty file", "browser"),
}


@pytest.mark.parametrize("case", PAGES)
def test_a_page_in_place_of_the_file(case: str, server: Server, known: Known) -> None:
    prepare, message, hint = PAGES[case]
    prepare(server)
    known(f"drive:{DRIVE}")
    outcome = run("fetch", "toys")
    assert (outcome.code, outcome.out) == (1, "")
    error, advice = messages(outcome.err)
    assert message in error
    assert hint in advice
    assert nothing_in_place()


@pytest.mark.parametrize(
    ("status", "message", "asked"),
    [(404, "does not exist (HTTP 404)", 1), (403, "refuses access", 1), (503, "not able to answer now", 3)],
)
def test_a_refusal_is_final_only_if_it_will_not_pass(status: int, message: str, asked: int, server: Server) -> None:
    thing = server.add("/a.zip", b"", status=status)
    outcome = run("fetch", server.url("/a.zip"), "--retries", "2")
    assert (outcome.code, len(thing.requests)) == (1, asked)
    assert message in messages(outcome.err)[0]
    assert nothing_in_place()


def test_nobody_answers(server: Server) -> None:
    outcome = run("fetch", "http://127.0.0.1:1/a.zip", "--retries", "1")
    assert outcome.code == 1
    assert "http://127.0.0.1:1/a.zip cannot be reached" in messages(outcome.err)[0]


def test_a_cut_transfer_goes_on_by_itself(server: Server) -> None:
    # of two requests for a resumed transfer the first, without a range, only asks what there is
    thing = server.add("/big.bin", BIG, cuts=[1_200_000])
    assert run("fetch", server.url("/big.bin")).code == 0
    assert Path("datasets/big.bin").read_bytes() == BIG
    assert thing.requests[-1] == f"bytes={(1_200_000 >> 19 << 19) - (1 << 16)}-"


def test_a_cut_transfer_goes_on_in_the_next_run(server: Server) -> None:
    thing = server.add("/big.bin", BIG, cuts=[1_200_000])
    first = run("fetch", server.url("/big.bin"), "--retries", "0")
    assert first.code == 1
    assert "was cut" in messages(first.err)[0]
    assert "it goes on" in messages(first.err)[1]
    assert nothing_in_place()
    assert run("fetch", server.url("/big.bin"), "--retries", "0").code == 0
    assert Path("datasets/big.bin").read_bytes() == BIG
    assert thing.requests[-1].startswith("bytes=")


def test_a_server_that_cannot_go_on_is_asked_for_the_whole(server: Server) -> None:
    server.add("/big.bin", BIG, cuts=[1_200_000], ranges=False)
    assert run("fetch", server.url("/big.bin")).code == 0
    assert Path("datasets/big.bin").read_bytes() == BIG


def test_a_server_that_always_cuts_and_never_goes_on_is_given_up(server: Server) -> None:
    server.add("/big.bin", BIG, cuts=[1_200_000] * 99, ranges=False)
    outcome = run("fetch", server.url("/big.bin"), "--retries", "2")
    assert outcome.code == 1
    assert "does not let a cut transfer go on" in messages(outcome.err)[0]


def test_a_part_of_an_older_file_is_not_mixed_with_the_new_one(server: Server) -> None:
    server.add("/big.bin", BIG, cuts=[1_200_000])
    assert run("fetch", server.url("/big.bin"), "--retries", "0").code == 1
    new = BIG[::-1] + b"longer"
    server.add("/big.bin", new)
    assert run("fetch", server.url("/big.bin"), "--retries", "0").code == 0
    assert Path("datasets/big.bin").read_bytes() == new


@pytest.mark.parametrize("version", ['"1"', '"2"'])
def test_a_part_of_another_version_of_the_same_size_is_dropped(version: str, server: Server) -> None:
    server.add("/big.bin", BIG, cuts=[1_200_000], version='"1"')
    assert run("fetch", server.url("/big.bin"), "--retries", "0").code == 1
    thing = server.add("/big.bin", BIG if version == '"1"' else BIG[::-1], version=version)
    assert run("fetch", server.url("/big.bin"), "--retries", "0").code == 0
    assert Path("datasets/big.bin").read_bytes() == thing.data
    assert thing.requests[-1].startswith("bytes=") == (version == '"1"')


def test_only_the_part_of_the_file_itself_counts(tmp_path: Path) -> None:
    own = Partial(tmp_path / "a[1].bin", "https://example.org")
    own.check(200_000, False)
    for name in ("a[1].binabcdefgh.part", "a1.binabcdefgh.part", "a[1].bin2abcdefgh.part"):
        (tmp_path / name).write_bytes(bytes(100_000))
    assert own.trim() == 100_000 - TAIL == own.size()
    again = Partial(tmp_path / "a[1].bin", "https://example.org/another")
    assert again.size() == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a1.binabcdefgh.part", "a[1].bin2abcdefgh.part"}


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(server: Server) -> None:
    server.add("/slow.bin", BIG[:500_000], pause=0.1)
    assert run("fetch", server.url("/slow.bin"), "--timeout", "0.7").code == 0
    gate = threading.Event()
    server.add("/silent.bin", BIG, gate=gate)
    outcome = run("fetch", server.url("/silent.bin"), "--timeout", "0.2", "--retries", "0")
    gate.set()
    assert outcome.code == 1
    assert "gave no sign of life for 0.2 seconds" in messages(outcome.err)[0]
    assert not Path("datasets/silent.bin").exists()


def test_a_wrong_checksum_is_refused_and_the_next_source_used(server: Server, known: Known) -> None:
    server.drive(DRIVE, zipped({"HR/1.png": b"forged", "LR/1.png": b"forged"}))
    good = server.drive(OTHER, ARCHIVE)
    digest = hashlib.sha256(ARCHIVE).hexdigest()
    known(f"drive:{DRIVE}", f"drive:{OTHER}", sha256=digest)
    outcome = run("fetch", "toys")
    assert outcome.code == 0
    assert "is not the one that the catalogue knows" in outcome.err
    assert f"Trying https://drive.google.com/uc?id={OTHER}" in outcome.err
    assert tree(Path("datasets/Toys")) == PICTURES
    assert good.requests
    assert json.loads(Path("datasets/fetched.json").read_text())["Toys"]["source"].endswith(OTHER)


def test_every_source_is_named_when_all_fail(server: Server, known: Known) -> None:
    server.page(DRIVE, QUOTA)
    known(f"drive:{DRIVE}", "https://example.org/toys.zip")
    error, _ = messages(run("fetch", "toys").err)
    assert "No source gives Toys" in error
    assert "limit of downloads" in error
    assert "https://example.org/toys.zip does not exist" in error


def test_a_part_from_one_source_is_not_gone_on_with_from_another(server: Server, known: Known) -> None:
    server.drive(DRIVE, BIG, cuts=[1_200_000] * 9)
    other = zipped({"HR/a": BIG, "LR/a": b""})
    server.drive(OTHER, other)
    known(f"drive:{DRIVE}", f"drive:{OTHER}")
    assert run("fetch", "toys", "--retries", "0").code == 0
    assert Path("datasets/Toys/HR/a").read_bytes() == BIG


def test_a_changed_size_is_refused_before_the_transfer(server: Server, known: Known) -> None:
    thing = server.drive(DRIVE, BIG, pause=0.02)
    known(f"drive:{DRIVE}", bytes=5)
    outcome = run("fetch", "toys")
    assert outcome.code == 1
    assert "offers a file of 2000000 bytes, but by the catalogue it has 5" in messages(outcome.err)[0]
    assert thing.sent < len(BIG)


def test_an_unknown_checksum_is_recorded_and_verified_after(server: Server) -> None:
    url = server.url("/weights.pth")
    server.add("/weights.pth", b"one" * 50)
    assert run("fetch", url).code == 0
    Path("datasets/weights.pth").unlink()
    server.add("/weights.pth", b"two" * 50)
    outcome = run("fetch", url)
    assert outcome.code == 1
    error, hint = messages(outcome.err)
    assert "is not the one that datasets/fetched.json knows" in error
    assert "--renew" in hint
    assert not Path("datasets/weights.pth").exists()
    assert run("fetch", url, "--renew").code == 0
    assert Path("datasets/weights.pth").read_bytes() == b"two" * 50
    assert run("fetch", url).code == 0


def test_a_checksum_of_first_use_counts_beside_a_size_of_the_catalogue(server: Server, known: Known) -> None:
    server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}", bytes=len(ARCHIVE))
    assert run("fetch", "toys").code == 0
    Path("datasets/Toys").rename("elsewhere")
    server.drive(DRIVE, ARCHIVE.replace(b"high", b"HIGH"))
    assert "is not the one that datasets/fetched.json knows" in messages(run("fetch", "toys").err)[0]


def test_a_file_that_was_changed_on_disk_is_noticed(server: Server) -> None:
    server.add("/a.bin", b"data")
    run("fetch", server.url("/a.bin"))
    Path("datasets/a.bin").write_bytes(b"rotten")
    error, hint = messages(run("fetch", server.url("/a.bin")).err)
    assert "datasets/a.bin is there, but is not the file that was fetched" in error
    assert "--renew" in hint
    assert run("fetch", server.url("/a.bin"), "--renew").code == 0
    assert Path("datasets/a.bin").read_bytes() == b"data"


def test_a_folder_of_the_user_is_never_replaced(server: Server, known: Known) -> None:
    server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    Path("datasets/Toys/HR").mkdir(parents=True)
    Path("datasets/Toys/HR/mine.png").write_bytes(b"mine")
    assert "was not fetched and lacks LR" in messages(run("fetch", "toys").err)[0]
    assert "was not fetched" in messages(run("fetch", "toys", "--renew").err)[0]
    Path("datasets/Toys/LR").mkdir()
    assert run("fetch", "toys").code == 0
    assert tree(Path("datasets/Toys")) == {"HR/mine.png": b"mine"}


def test_a_renewed_data_set_replaces_the_old_one(server: Server, known: Known) -> None:
    server.drive(DRIVE, ARCHIVE)
    known(f"drive:{DRIVE}")
    run("fetch", "toys")
    server.drive(DRIVE, zipped({"HR/2.png": b"new", "LR/2.png": b"new"}))
    assert run("fetch", "toys", "--renew").code == 0
    assert tree(Path("datasets/Toys")) == {"HR/2.png": b"new", "LR/2.png": b"new"}


def test_a_layout_that_does_not_fit_is_told(server: Server, known: Known) -> None:
    server.drive(DRIVE, tarred({"./HR/1.png": b"high"}))
    known(f"drive:{DRIVE}")
    outcome = run("fetch", "toys", "--json")
    assert (outcome.code, json.loads(outcome.out)["missing"]) == (0, ["LR"])
    assert "datasets/Toys lacks LR" in outcome.err


def test_a_file_got_with_a_browser_can_be_given(server: Server, known: Known) -> None:
    known("page:https://example.org/toys", sha256=hashlib.sha256(ARCHIVE).hexdigest())
    error, hint = messages(run("fetch", "toys").err)
    assert "No address is known from which a program can fetch Toys" in error
    assert "https://example.org/toys" in hint
    Path("got.zip").write_bytes(ARCHIVE + b"!")
    assert "is not the one that the catalogue knows" in messages(run("fetch", "toys", "--from", "got.zip").err)[0]
    Path("got.zip").write_bytes(ARCHIVE)
    assert run("fetch", "toys", "--from", "got.zip").code == 0
    assert tree(Path("datasets/Toys")) == PICTURES
    assert Path("got.zip").exists()


def test_damaged_weights_are_refused(server: Server, x2: Path) -> None:
    data = bytearray(x2.read_bytes())
    data[len(data) // 2] ^= 1
    server.add("/w.pth", bytes(data))
    assert "is damaged" in messages(run("fetch", server.url("/w.pth")).err)[0]
    assert nothing_in_place()


def test_too_little_room_is_told_before_the_transfer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "free", lambda folder: 1_000_000)
    thing = server.add("/big.bin", BIG, pause=0.02)
    outcome = run("fetch", server.url("/big.bin"))
    assert outcome.code == 1
    error, hint = messages(outcome.err)
    assert "needs 1.5 MB" in error or "needs 2.0 MB" in error
    assert "--root" in hint
    assert thing.sent < len(BIG)


def test_a_broken_record_is_an_error(server: Server) -> None:
    server.add("/a.bin", b"data")
    Path("datasets").mkdir()
    Path("datasets/fetched.json").write_text("{")
    assert "fetched.json, the record of what was fetched, cannot be read" in run("fetch", server.url("/a.bin")).err
    assert not Path("datasets/a.bin").exists()


def test_no_place_to_write(server: Server) -> None:
    server.add("/a.bin", b"data")
    outcome = run("fetch", server.url("/a.bin"), "--root", "/proc/nowhere")
    assert outcome.code == 1
    assert "/proc/nowhere cannot be written" in messages(outcome.err)[0]
