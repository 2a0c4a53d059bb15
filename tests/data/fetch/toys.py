"""What the tests of fetching fetch, and how they look at what came."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from mambair_cli.data.fetch import record

DRIVE = "1AbcDefGhiJklMnoPqrStuVwxYz012345"
OTHER = "1ZyxWvuTsrQpoNmlKjiHgfEdcBa543210"


Known = Callable[..., None]
QUOTA = (
    '<html><title>Google Drive - Quota exceeded</title><p class="uc-error-subcaption">Too many users have viewed or'
    " downloaded this file recently. Please try accessing the file again later.</p></html>"
)
SIGN_IN = "<html><head><title>Sign in - Google Accounts</title></head><body>Sign in to continue</body></html>"


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, but for the locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def messages(err: str) -> tuple[str, str]:
    """The error and the hint, which are all that is said."""
    lines = [line for line in err.splitlines() if not line.startswith("Warning: ")]
    assert len(lines) == 2, err
    assert lines[0].startswith("Error: ")
    assert lines[1].startswith("Hint: ")
    assert all(line.endswith(".") for line in lines)
    return lines[0], lines[1]


def nothing_in_place(root: str = "datasets") -> bool:
    """Whether there is nothing under a final name."""
    return {path.name for path in Path(root).iterdir()} <= {record.WORK}


PICTURES = {"HR/1.png": b"high", "LR/1.png": b"low"}
ARCHIVE = zipped({f"toys-1.0/data/{name}": data for name, data in PICTURES.items()} | {"toys-1.0/README": b"hello"})
