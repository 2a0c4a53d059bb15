"""The training photographs are made again from originals in public repositories."""

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mambair_cli.data.fetch import photos
from tests.cli.run import run
from tests.data.fetch.server import Server

ROTATED = 6
"""EXIF: the camera was held so that the picture has to be turned clockwise."""


@dataclass
class Original:
    """A generated original, and what has to become of it."""

    path: str
    data: bytes
    shrink: float
    size: tuple[int, int]

    @property
    def url(self) -> str:
        """Its path on the local server."""
        return f"/raw.githubusercontent.com/somebody/pictures/0123456789ab/{self.path}"


def picture(width: int, height: int) -> np.ndarray:
    """A smooth picture, different in every corner, which JPEG keeps well."""
    return ramps(np.linspace(0, 1, width), np.linspace(0, 1, height))


def ramps(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    x, y = np.meshgrid(columns, rows)
    return np.stack([220 * x, 200 * y, 100 + 100 * x * y], -1).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str, orientation: int = 1) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(buffer, kind, exif=exif, quality=100)
    return buffer.getvalue()


RGBA = np.dstack([picture(240, 122), np.full((122, 240), 255, np.uint8)])
ORIGINALS = [
    Original("plain.jpg", encoded(picture(100, 62), "JPEG"), 1.0, (96, 60)),
    Original("turned%20it%27s%20%2B.jpg", encoded(picture(100, 62), "JPEG", ROTATED), 1.0, (60, 96)),
    Original("deep/alpha.png", encoded(RGBA, "PNG"), 2.5, (96, 48)),
    Original("wide.png", encoded(picture(1404, 24), "PNG"), 1.0, (1280 // 12 * 12, 24)),
]


@pytest.fixture
def rows(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A manifest of the originals, which the server has."""
    rows = []
    for number, original in enumerate(ORIGINALS):
        server.add(original.url, original.data)
        rows.append(
            {
                "file": f"{number:04}_pictures.jpg",
                "width": str(original.size[0]),
                "height": str(original.size[1]),
                "sha256": "0" * 64,
                "shrink": str(original.shrink),
                "source_repo": "github:somebody/pictures",
                "source_commit": "0123456789ab",
                "source_path": original.path.replace("%20", " ").replace("%27", "'").replace("%2B", "+"),
                "source_sha256": hashlib.sha256(original.data).hexdigest(),
                "licence": "CC0-1.0",
            }
        )
    monkeypatch.setattr(photos, "manifest", lambda: text(rows))
    return rows


def text(rows: list[dict[str, str]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def load(number: int) -> np.ndarray:
    with Image.open(f"datasets/photos/{number:04}_pictures.jpg") as image:
        assert image.format == "JPEG"
        return np.asarray(image)


def near(found: np.ndarray, expected: np.ndarray, most: int = 4) -> bool:
    return found.shape == expected.shape and int(np.abs(found.astype(int) - expected.astype(int)).max()) <= most


def test_photographs_are_processed_as_documented(rows: list[dict[str, str]]) -> None:
    outcome = run("fetch", "photos")
    assert (outcome.code, outcome.out) == (0, "datasets/photos\n")
    assert "4 of 4 files were made from the right originals but differ in their bytes" in outcome.err
    assert sorted(path.name for path in Path("datasets/photos").iterdir()) == [
        *(row["file"] for row in rows),
        "photos.csv",
    ]
    assert near(load(0), picture(100, 62)[:60, :96])
    turned = np.rot90(picture(100, 62), -1)
    assert near(load(1), turned[:96, :60])
    columns, lines = (np.arange(96) + 0.5) * 240 / 96 - 0.5, (np.arange(48) + 0.5) * 122 / 49 - 0.5
    assert near(load(2), ramps(columns / 239, lines / 121))
    assert near(load(3), picture(1404, 24)[:, 62 : 62 + 1272])


def test_files_are_those_of_a_jpeg_encoder_at_quality_97_without_subsampling(rows: list[dict[str, str]]) -> None:
    assert run("fetch", "photos").code == 0
    with Image.open("datasets/photos/0000_pictures.jpg") as image:
        assert image.quantization[0][:8] == [1, 1, 1, 1, 1, 2, 3, 4]  # type: ignore[attr-defined]  # as in those photographs
        assert {layer[1:3] for layer in image.layer} == {(1, 1)}  # type: ignore[attr-defined]
        assert not image.getexif()


def test_it_goes_on_file_by_file(rows: list[dict[str, str]], server: Server) -> None:
    missing = server.things.pop(ORIGINALS[2].url)
    outcome = run("fetch", "photos")
    assert outcome.code == 1
    assert "Warning: 0002_pictures.jpg: https://raw.githubusercontent.com/" in outcome.err
    assert "Error: 1 of 4 photographs cannot be made: 0002_pictures.jpg." in outcome.err
    assert not Path("datasets/photos").exists()
    server.things[ORIGINALS[2].url] = missing
    before = {url: len(thing.requests) for url, thing in server.things.items()}
    assert run("fetch", "photos").code == 0
    after = {url: len(thing.requests) - before[url] for url, thing in server.things.items()}
    assert after == {original.url: int(original is ORIGINALS[2]) for original in ORIGINALS}
    assert run("fetch", "photos").code == 0


def test_an_original_from_another_host_of_github(rows: list[dict[str, str]], server: Server) -> None:
    thing = server.things.pop(ORIGINALS[0].url)
    server.add(ORIGINALS[0].url, b"version https://git-lfs.github.com/spec/v1\n")
    server.things["/media.githubusercontent.com/media/somebody/pictures/0123456789ab/plain.jpg"] = thing
    assert run("fetch", "photos").code == 0


def test_an_original_that_is_not_the_one_of_the_manifest_is_refused(rows: list[dict[str, str]], server: Server) -> None:
    server.add(ORIGINALS[0].url, encoded(picture(100, 63), "JPEG"))
    outcome = run("fetch", "photos")
    assert outcome.code == 1
    assert "is not the one that the manifest knows" in outcome.err
    assert not list(Path("datasets").rglob("0000_pictures.jpg"))


def test_a_size_that_does_not_come_out_is_refused(rows: list[dict[str, str]]) -> None:
    rows[0]["width"] = "108"
    outcome = run("fetch", "photos")
    assert outcome.code == 1
    assert "0000_pictures.jpg comes out as 96 x 60, not 108 x 60" in outcome.err


def test_a_network_that_is_gone_is_noticed_early(rows: list[dict[str, str]], server: Server) -> None:
    server.things.clear()
    outcome = run("fetch", "photos", "--retries", "0")
    assert outcome.code == 1
    assert "3 originals in a row cannot be had" in outcome.err
    assert outcome.err.count("Warning:") == 3


def test_the_packaged_manifest_states_every_fact() -> None:
    listed = photos.listed(photos.manifest())
    assert len(listed) == len({photo.source_sha256 for photo in listed}) == 361
    assert round(sum(photo.width * photo.height for photo in listed) / 1e6) == 151
    for photo in listed:
        assert photo.width % 12 == photo.height % 12 == 0
        assert photo.width <= 1280
        assert photo.shrink >= 1
        assert photo.licence
        assert len(photo.sha256) == len(photo.source_sha256) == 64
        assert photo.sources[0].url.startswith(f"https://raw.githubusercontent.com/{photo.repository}/{photo.commit}/")
