"""Pictures, orders and results behind the page."""

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mambair_cli import load_model, restore
from mambair_cli.errors import InputError, UsageError
from mambair_cli.restoration import picture as stages
from mambair_cli.web import service as module
from mambair_cli.web.service import Order, Service, State, Ticket
from tests.restoration.grain import demosaiced


def png(size: tuple[int, int] = (12, 9), seed: int = 0) -> bytes:
    file, rng = io.BytesIO(), np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service("cpu", max_bytes=1 << 20, max_waiting=2)
    yield service
    folder = service._folder
    service.close()
    assert not folder.exists()


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def over(ticket: Ticket) -> Ticket:
    until(lambda: ticket.over)
    return ticket


def test_the_result_is_that_of_the_command(service: Service) -> None:
    given = service.give("../photo.png", png())
    assert (given.name, given.width, given.height) == ("photo.png", 12, 9)
    ticket = over(service.order(given, Order(task="denoise", strength=0.5)))
    assert (ticket.state, ticket.name, ticket.message) == (State.DONE, "photo_denoised.png", "")
    pixels = np.asarray(Image.open(io.BytesIO(png())))
    expected = restore(pixels, load_model("mambair-nano-denoise", "cpu"), strength=0.5)
    with Image.open(ticket.target) as result, Image.open(service.preview(ticket.target)) as preview:
        assert np.array_equal(np.asarray(result), expected)
        assert preview.size == (12, 9)
    service.forget(given.id)
    assert service.ticket(ticket.id) is None
    assert not ticket.target.exists()


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (Order(task="derain"), "no task derain"),
        (Order(task="denoise", scale=2), "keeps the size"),
        (Order(task="denoise", strength=1.5), "between 0 and 1"),
        (Order(task="denoise", model="/etc/passwd"), "not installed"),
        (Order(task="denoise", model="mambair-nano-x2"), "not installed"),
    ],
)
def test_orders_that_are_refused(order: Order, message: str, service: Service) -> None:
    given = service.give("a.png", png())
    with pytest.raises(UsageError, match=message):
        service.order(given, order)


def test_what_is_no_picture_or_too_large_is_refused(service: Service) -> None:
    with pytest.raises(InputError, match=r"notes\.png"):
        service.give("notes.png", b"some words")
    with pytest.raises(InputError, match="more than the 1 allowed"):
        service.give("large.png", bytes((1 << 20) + 1))
    given = service.give("a.png", png())
    service.forget(given.id)
    with pytest.raises(UsageError, match="no longer kept"):
        service.order(given, Order(task="denoise"))


def test_waiting_and_running_orders_stop_and_the_queue_is_bounded(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def slow(pixels: np.ndarray, *_: object, progress: Callable[[int, int], None], **__: object) -> np.ndarray:
        progress(0, 2)
        assert go.wait(30)
        progress(1, 2)
        return pixels

    monkeypatch.setattr(stages, "restore", slow)
    given = service.give("a.png", png())
    running, waiting = (service.order(given, Order(task="denoise")) for _ in range(2))
    until(lambda: running.total == 2)
    with pytest.raises(UsageError, match="2 pictures are waiting"):
        service.order(given, Order(task="denoise"))
    service.cancel(waiting)
    assert waiting.state is State.CANCELLED
    service.cancel(running)
    go.set()
    assert over(running).state is State.CANCELLED
    assert not running.target.exists()
    assert over(service.order(given, Order(task="denoise"))).state is State.DONE


def test_an_error_names_the_picture_and_no_folder(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the network fell over")

    monkeypatch.setattr(stages, "restore", broken)
    ticket = over(service.order(service.give("a.png", png()), Order(task="denoise")))
    assert ticket.state is State.FAILED
    assert "a.png" in ticket.message
    assert str(Path(ticket.target).parent.parent) not in ticket.message


def test_the_zip_tells_equal_names_apart(service: Service) -> None:
    tickets = [over(service.order(service.give("a.png", png(seed=k)), Order(task="denoise"))) for k in range(2)]
    with zipfile.ZipFile(service.packed(tickets)) as archive:
        assert archive.namelist() == ["a_denoised.png", "a_denoised_2.png"]
        assert archive.read("a_denoised_2.png") == tickets[1].target.read_bytes()


def test_noise_and_compression_become_advice(service: Service) -> None:
    gray = np.full((64, 64, 3), 128.0)
    noisy = (gray + np.random.default_rng(0).normal(0, 20, gray.shape)).clip(0, 255).astype(np.uint8)
    said = []
    for pixels, kind, options in (
        (noisy, "PNG", {}),
        (demosaiced(gray, 10, np.random.default_rng(1)).astype(np.uint8), "PNG", {}),
        (gray.astype(np.uint8), "JPEG", {"quality": 40}),
        (gray.astype(np.uint8), "PNG", {}),
    ):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, **options)
        said.append(service.give(f"a.{kind.lower()}", file.getvalue()).advice)
    assert "Noisy (about" in said[0]
    assert "Grain of a camera (about" in said[1]
    assert "quality of about 40" in said[2]
    assert said[3] == ""


def test_only_so_many_pictures_are_kept(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    given = [service.give("a.png", png()) for _ in range(3)]
    assert [service.given(each.id) is not None for each in given] == [False, True, True]
    assert not given[0].path.exists()
