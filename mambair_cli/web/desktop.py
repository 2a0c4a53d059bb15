"""Entries in the desktop's menu and in "open with", which start the page with the chosen pictures."""

import os
import shutil
import sys
from pathlib import Path

from ..errors import MambairError
from ..images import formats


def install() -> Path:
    """Write the entry of this system for this user.

    Returns:
        The file that was written.

    Raises:
        MambairError: the system has no such entries that are known here.
    """
    if sys.platform == "darwin":
        raise MambairError("There are no such entries on a Mac.", "Make a Shortcut that runs mambair ui.")
    program = shutil.which("mambair") or str(Path(sys.argv[0]).resolve())
    if sys.platform == "win32":
        target = Path(os.environ["APPDATA"], "Microsoft/Windows/SendTo/Restore with mambair.cmd")
        content = f'@"{program}" ui %*\r\n'
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
        target = data / "applications/mambair.desktop"
        types = "".join(f"{mime};" for row in formats.FORMATS if row.installed for mime in row.mime)
        content = (
            "[Desktop Entry]\nType=Application\nName=mambair\nComment=Restore and enlarge pictures\n"
            f'Exec="{program}" ui %F\nTerminal=true\nCategories=Graphics;\nMimeType={types}\n'
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content, encoding="utf-8", newline="")
    return target
