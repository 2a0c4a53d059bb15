"""Starts the page and the HTTP interface."""

from collections.abc import Sequence
from pathlib import Path

from nicegui import app, ui

from . import api
from .pages import Page
from .service import Service

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

RECONNECT = 60.0
"""Seconds without a word after which a page counts as left. A machine that restores may be slow to answer, and a page
that comes back later starts anew, without its pictures."""


def serve(service: Service, host: str, port: int, show: bool, files: Sequence[Path]) -> None:
    """Serve until a signal ends it.

    Args:
        service: does the work.
        host: address to listen at.
        port: of TCP.
        show: open a browser.
        files: pictures of this machine that are on the page of the first visitor.
    """
    first = list(files)

    @ui.page("/")
    async def index() -> None:
        page = Page(service)
        page.build()
        taken, first[:] = list(first), []
        await page.open(taken)

    api.only_from(app, LOOPBACK if host in LOOPBACK else frozenset({"*"}))
    app.include_router(api.router(service))
    app.on_shutdown(service.close)
    ui.run(
        host=host,
        port=port,
        title="mambair",
        dark=None,
        reload=False,
        reconnect_timeout=RECONNECT,
        show=show,
        show_welcome_message=False,
        fastapi_docs=True,
        uvicorn_logging_level="error",
    )
