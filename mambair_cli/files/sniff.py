"""What servers and git put in place of a file, told by the first bytes."""

PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")
POINTER = b"version https://git-lfs"
"""How a pointer of Git LFS begins (its specification, version 1)."""


def is_page(head: bytes) -> bool:
    """Whether this begins a web page, such as one that refuses a download."""
    return head.lstrip().lower().startswith(PAGES)


def is_pointer(head: bytes) -> bool:
    """Whether this begins what git keeps in place of a large file."""
    return head.startswith(POINTER)
