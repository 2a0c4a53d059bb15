"""Faults of servers: content that changes on the way, answers that pass, and answers that nobody foresaw."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from mambair_cli.data.fetch import failures, photos, transfer
from tests.cli.run import run
from tests.data.fetch.server import Server, Thing
from tests.data.fetch.toys import ARCHIVE, DRIVE, Known, messages, nothing_in_place

OLD = random.Random(0).randbytes(2_000_000)
NEW = OLD[::-1]


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("cut", [[1_200_000], []])
def test_content_that_changes_during_the_transfer_is_fetched_anew(cut: list[int], head: bool, server: Server) -> None:
    changed = Thing(NEW, version='"2"', head=head)
    first = server.add("/big.bin", OLD, version='"1"', head=head, cuts=cut, then=changed)
    if not head:  # asked for its version, then for its content
        first.then = Thing(OLD, version='"1"', head=False, cuts=cut, then=changed)
    assert run("fetch", server.url("/big.bin")).code == 0
    assert Path("datasets/big.bin").read_bytes() == NEW


def test_content_that_never_stands_still_is_given_up(server: Server) -> None:
    thing = server.add("/big.bin", OLD, version='"0"')
    for number in range(1, 20):
        thing.then = thing = Thing(OLD, version=f'"{number}"')
    outcome = run("fetch", server.url("/big.bin"), "--retries", "2")
    assert outcome.code == 1
    assert "changes while it is fetched" in messages(outcome.err)[0]
    assert nothing_in_place()


def test_a_server_is_waited_for_as_long_as_it_asks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []
    monkeypatch.setattr(transfer, "pause", lambda failures, asked=None: waited.append(asked))
    good = Thing(b"data")
    server.add("/a.bin", status=503, headers={"Retry-After": "7"}, then=Thing(b"", status=429, then=good))
    assert run("fetch", server.url("/a.bin")).code == 0
    assert waited == [7, None]


def test_a_server_that_asks_for_too_much_patience_is_given_up(server: Server) -> None:
    thing = server.add("/a.bin", status=429, headers={"Retry-After": "86400"})
    error, hint = messages(run("fetch", server.url("/a.bin")).err)
    assert "asks to wait 1440 minutes" in error
    assert "it goes on" in hint
    assert len(thing.requests) == 1


def test_retry_after_is_seconds_or_a_date() -> None:
    assert failures.waiting(" 120 ") == 120
    later = failures.waiting(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))
    assert later is not None
    assert 80 < later <= 90
    assert failures.waiting("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert failures.waiting("soon") is None
    assert failures.waiting("") is None


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_fault_of_drive_passes(status: int, server: Server, known: Known) -> None:
    known(f"drive:{DRIVE}")
    fault = Thing(b"<html>Error</html>", "text/html", status)
    server.add(f"/drive.google.com/uc?id={DRIVE}", b"<html>Error</html>", kind="text/html", status=status)
    outcome = run("fetch", "toys", "--retries", "1")
    assert outcome.code == 1
    assert f"is not able to answer now (HTTP {status})" in messages(outcome.err)[0]
    fault.then = Thing(b"<html>Error</html>", "text/html", status, then=Thing(ARCHIVE, name="toys.zip"))
    server.things[f"/drive.google.com/uc?id={DRIVE}"] = fault
    assert run("fetch", "toys").code == 0


def test_a_fault_of_drive_that_passes_before_it_is_looked_into_is_no_refusal(server: Server, known: Known) -> None:
    known(f"drive:{DRIVE}")
    fault = server.add(f"/drive.google.com/uc?id={DRIVE}", b"<html>Error</html>", kind="text/html", status=503)
    fault.then = Thing(ARCHIVE, name="toys.zip")
    assert run("fetch", "toys").code == 0


ODD: dict[str, Thing] = {
    "page without a type": Thing(b"<html><p>Hello</p></html>", kind=""),
    "form without an address": Thing(b'<form id="download-form"></form>', kind="text/html"),
    "field without a name": Thing(b'<form id="download-form" action="/x"><input type="hidden"></form>', "text/html"),
    "date that is none": Thing(ARCHIVE, name="toys.zip", headers={"Last-Modified": "yesterday"}),
    "bytes without a type or a name": Thing(ARCHIVE, kind=""),
}


@pytest.mark.parametrize("case", ODD)
def test_an_answer_that_is_not_foreseen_is_an_error_in_our_words(case: str, server: Server, known: Known) -> None:
    server.things[f"/drive.google.com/uc?id={DRIVE}"] = ODD[case]
    known(f"drive:{DRIVE}")
    for name in ("toys", DRIVE):
        outcome = run("fetch", name)
        assert outcome.code == 1
        assert "unexpected" not in outcome.err
        assert "drive.google.com" in messages(outcome.err)[0]
    assert nothing_in_place()


def test_photographs_are_given_up_at_once_without_a_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(photos, "HOSTS", tuple(f"http://127.0.0.1:{port}/{{path}}" for port in (1, 2, 3)))
    monkeypatch.setattr(transfer, "pause", lambda failures, asked_=None: asked.append(failures))
    outcome = run("fetch", "photos", "--retries", "3")
    assert outcome.code == 1
    assert "None of the hosts of GitHub can be reached" in messages(outcome.err)[0]
    assert asked == [1, 2, 3]
