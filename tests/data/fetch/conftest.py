"""A server, a catalogue of test data, and a working folder."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from mambair_cli.data import catalog
from mambair_cli.data.fetch import transfer
from tests.data.fetch.server import Server, serving, session


@pytest.fixture(scope="module")
def _running() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(_running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty server, which is also all of the network; retries come at once."""
    _running.things.clear()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(requests, "session", lambda: session(_running.port))
    monkeypatch.setattr(transfer, "pause", lambda failures, asked=None: None)
    return _running


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the catalogue hold one data set, ``toys``."""

    def make(*sources: str, **facts: Any) -> None:
        entry = {"name": "Toys", "task": "train", "holds": "two pictures", "target": "Toys", "layout": ("HR", "LR")}
        entry |= {"verified": "never", "licence": "CC0", "citation": "", "sources": sources}
        entries = (catalog.Dataset(**(entry | facts)),)
        monkeypatch.setattr(catalog, "datasets", lambda: entries)

    return make
