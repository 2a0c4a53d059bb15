"""``mambair ui``: a page in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from ..console import Console
from ..errors import InputError, MambairError, UsageError
from .common import command

PORT = 8080
EXTRA = "Install it: pip install 'mambair[ui]'."


def _ui(
    console: Console,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[IN]...", help="Pictures that are on the page at the start.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen at; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="TCP port.")] = PORT,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    max_mib: Annotated[int, typer.Option("--max-mib", min=1, help="Largest picture file that is taken.")] = 256,
    max_waiting: Annotated[int, typer.Option("--max-waiting", min=1, help="Pictures that may wait at a time.")] = 100,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    install: Annotated[
        bool, typer.Option("--install", help="Add mambair to the menu and to “open with”, and end.")
    ] = False,
) -> None:
    """Restore pictures on a page in the browser: drop, choose, compare, download.

    There is an HTTP interface beside it, described at /docs.

    Example: mambair ui holiday.jpg
    """
    if install:
        from ..web import desktop

        console.data(str(target := desktop.install()), {"output": str(target)})
        return
    missing = [str(path) for path in files or () if not path.is_file()]
    if missing:
        raise InputError(f"There is no file {missing[0]}.", "Check its name.")
    try:
        from ..web import server
    except ModuleNotFoundError as error:
        if error.name not in ("nicegui", "fastapi"):
            raise
        raise MambairError("The page needs nicegui, which is not installed.", EXTRA) from None
    from ..web.service import Service
    from ..weights.model import resolve_device

    resolve_device(device)
    _check_free(host, port)
    if host not in server.LOOPBACK:
        console.warn(f"everybody who reaches {host}:{port} can use this machine's time; there are no passwords.")
    console.note(f"http://{host}:{port}, until Ctrl-C; the HTTP interface is described at /docs.")
    server.serve(Service(device, max_mib << 20, max_waiting), host, port, browser, files or [])


def _check_free(host: str, port: int) -> None:
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            what = f"{host}:{port} cannot be listened at: {error.strerror}."
            raise UsageError(what, "Give another --port.") from None


ui = command(_ui, extensible=True)
