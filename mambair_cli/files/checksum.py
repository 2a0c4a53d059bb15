"""SHA-256 (FIPS 180-4) in hexadecimal digits, by which files and texts are known again."""

import hashlib
from pathlib import Path


def of_file(path: Path) -> str:
    """Of what a file holds.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_text(text: str) -> str:
    """Of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
