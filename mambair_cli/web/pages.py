"""The page: drop pictures, choose, restore, compare, download."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nicegui import events, ui

from ..errors import MambairError
from ..images import formats
from ..tasks import TASKS, get
from ..weights import catalog
from .service import Given, Order, Service, State, Ticket

TASK_WORDS = {
    "upscale": "Enlarge",
    "denoise": "Remove noise",
    "dejpeg": "Repair JPEG",
    "dehaze": "Remove haze",
}
STATE_WORDS = {
    State.WAITING: "waiting",
    State.RUNNING: "working",
    State.DONE: "done",
    State.FAILED: "failed",
    State.CANCELLED: "stopped",
}
AUTOMATIC = ""
"""In place of a model's name: what the command takes without one."""

GRAIN = {0: "as the model sees it", 5: "light", 10: "medium", 15: "strong"}
"""Standard deviations of noise, of 255, in words."""

PERIOD = 0.3
"""Seconds between looks at the tickets."""

STYLE = """
.q-uploader__subtitle { display: none }
.compare { position: relative; width: 100%; --at: 50%; background: #222; overflow: hidden; border-radius: 6px }
.compare img { display: block; width: 100%; max-height: 78vh; object-fit: contain }
.compare img.before { position: absolute; inset: 0; height: 100%; clip-path: inset(0 calc(100% - var(--at)) 0 0) }
.compare .line { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; background: #fff; opacity: .8 }
.compare input { position: absolute; inset: 0; width: 100%; height: 100%; opacity: 0; cursor: ew-resize; margin: 0 }
.compare span { position: absolute; bottom: 8px; padding: 2px 8px; background: #000a; color: #fff; border-radius: 4px }
"""


@dataclass
class Row:
    """A picture on the page, with the last order for it."""

    given: Given
    ticket: Ticket | None = None


@dataclass
class Page:
    """What one visitor has chosen and given."""

    service: Service
    task: str = "upscale"
    scale: int = 4
    model: str = AUTOMATIC
    strength: float = 1.0
    sigma: int = 0
    rows: list[Row] = field(default_factory=list)

    def build(self) -> None:
        """Lay the page out."""
        ui.add_css(STYLE)
        ui.page_title("mambair")
        with ui.column().classes("w-full max-w-4xl mx-auto gap-4 p-2"):
            ui.label("Restore pictures").classes("text-2xl font-medium")
            self._choices()
            self._drop()
            self.list = ui.column().classes("w-full gap-2")
            self.beside = ui.element()  # what must outlive a row that is drawn anew
            with ui.row().classes("gap-2"):
                self.start = ui.button("Restore", icon="auto_fix_high", on_click=self._restore).mark("restore")
                self.pack = ui.button("Download all (zip)", icon="archive", on_click=self._download_all)
                self.pack.props("outline").mark("pack")
            ui.label(
                "Pictures stay on the computer that runs mambair and are removed when it ends. "
                "What is restored is a guess: not evidence."
            ).classes("text-xs opacity-70")
        self._show()
        ui.timer(PERIOD, self._refresh)
        ui.context.client.on_delete(self._leave)

    def _choices(self) -> None:
        words = {task.name: TASK_WORDS.get(task.name, task.name) for task in TASKS}
        scales = sorted({entry.scale for entry in catalog.select("upscale") if entry.installed})
        with ui.card().classes("w-full gap-3"):
            tasks = ui.toggle(words).bind_value(self, "task").props("spread no-caps").classes("w-full")
            with ui.row().classes("items-center gap-4") as self.sizes:
                ui.label("How many times as large")
                sizes = ui.toggle({scale: f"{scale} x" for scale in scales}).bind_value(self, "scale").props("no-caps")
            with ui.row().classes("items-center gap-4 w-full no-wrap"):
                ui.label("Strength")
                self.slider = ui.slider(min=0, max=1, step=0.05).bind_value(self, "strength").classes("grow max-w-md")
                ui.label().bind_text_from(self.slider, "value", lambda value: f"{value:.0%}")
            ui.label("Below 100%, a share of the picture stays as it was.").classes("text-xs opacity-70")
            with ui.row().classes("items-center gap-4") as self.noise:
                ui.label("Grain that stays")
                ui.toggle(GRAIN).bind_value(self, "sigma").props("no-caps")
            self.models = (
                ui.select([], label="Model: the network that does it")
                .bind_value(self, "model")
                .classes("w-full max-w-md")
            )
        self._chosen()
        for choice in (tasks, sizes):
            choice.on_value_change(self._chosen)

    @property
    def enlarges(self) -> bool:
        """Whether the chosen task does."""
        return get(self.task).enlarges

    def _chosen(self) -> None:
        """Offer what goes with the task."""
        self.sizes.set_visibility(self.enlarges)
        self.noise.set_visibility(self.task == "denoise")
        strongest = get(self.task).strongest
        self.slider.props(f"max={strongest:g}")
        self.strength = min(self.strength, strongest)
        known = catalog.select(self.task, self.scale if self.enlarges else None)
        names = {each.name: f"{each.name}{f' ({each.note})' if each.note else ''}" for each in known if each.installed}
        self.models.set_options({AUTOMATIC: "Chosen to fit each picture"} | names, value=AUTOMATIC)

    def _drop(self) -> None:
        upload = ui.upload(
            label=f"Drop pictures here, or press + (up to {self.service.max_bytes >> 20} MiB each)",
            multiple=True,
            auto_upload=True,
            max_file_size=self.service.max_bytes,
            max_files=self.service.max_waiting,
            on_upload=self._uploaded,
            on_rejected=lambda: ui.notify("Too large, too many, or no picture that is read.", type="negative"),
        )
        upload.props(f'accept="{formats.listing().replace(" ", "")}" flat bordered').classes("w-full").mark("upload")

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        await self._take(event.file.name, await event.file.read())
        event.sender.reset()  # type: ignore[attr-defined]

    async def _take(self, name: str, content: bytes) -> None:
        try:
            given = await asyncio.to_thread(self.service.give, name, content)
        except MambairError as error:
            ui.notify(f"{error.message} {error.hint}", type="negative", timeout=10_000, close_button="OK")
            return
        self.rows.append(Row(given))
        self._show()

    async def open(self, paths: Iterable[Path]) -> None:
        """Take files of this machine."""
        for path in paths:
            await self._take(path.name, await asyncio.to_thread(path.read_bytes))

    def _restore(self) -> None:
        order = Order(
            task=self.task,
            model=self.model or None,
            scale=self.scale if self.enlarges else None,
            strength=self.strength,
            sigma=(self.sigma or None) if self.task == "denoise" else None,
        )
        for row in self.rows:
            if row.ticket is None or row.ticket.over:
                try:
                    row.ticket = self.service.order(row.given, order)
                except MambairError as error:
                    ui.notify(f"{error.message} {error.hint}", type="negative")
                    break
        self._show()

    def _download_all(self) -> None:
        ids = ",".join(row.ticket.id for row in self.rows if row.ticket and row.ticket.state is State.DONE)
        ui.download.from_url(f"/api/packed?ids={ids}")

    def _show(self) -> None:
        """Draw all rows anew."""
        self.list.clear()
        self._drawn = self._states()
        with self.list:
            for row in self.rows:
                self._row(row)
        done = sum(state is State.DONE for state in self._drawn)
        self.start.set_enabled(any(row.ticket is None or row.ticket.over for row in self.rows))
        self.pack.set_visibility(done > 1)

    def _row(self, row: Row) -> None:
        ticket = row.ticket
        with ui.card().classes("w-full"), ui.row().classes("w-full items-center gap-4 flex-nowrap max-sm:flex-wrap"):
            ui.image(f"/api/previews/{row.given.id}").classes("w-20 h-20 shrink-0 rounded").props("fit=cover")
            with ui.column().classes("grow gap-1 min-w-0 basis-0"):
                ui.label(row.given.name).classes("font-medium truncate w-full")
                ui.label(f"{row.given.width} x {row.given.height}").classes("text-xs opacity-70")
                if ticket is None:
                    if row.given.advice:
                        ui.label(row.given.advice).classes("text-sm text-orange-9")
                elif ticket.state in (State.WAITING, State.RUNNING):
                    bar = ui.linear_progress(show_value=False).props("instant-feedback")
                    bar.bind_value_from(ticket, "done", lambda done: done / ticket.total if ticket.total else 0)
                    ui.label().bind_text_from(ticket, "remaining", lambda left: _words(ticket, left)).classes("text-xs")
                else:
                    self._over(ticket)
            with ui.row().classes("shrink-0 gap-1 max-sm:w-full max-sm:justify-end"):
                if ticket and not ticket.over:
                    _icon("stop", "Stop", lambda: self.service.cancel(ticket))
                if ticket and ticket.state is State.DONE:
                    _icon("compare", "Compare before and after", lambda: self._compare(row, ticket))
                    address = f"/api/tickets/{ticket.id}/result"
                    _icon("download", f"Download {ticket.name}", lambda: ui.download.from_url(address, ticket.name))
                if ticket is None or ticket.over:
                    _icon("close", "Remove from this list", lambda: self._remove(row))

    def _over(self, ticket: Ticket) -> None:
        if ticket.state is State.DONE and ticket.result:
            words = TASK_WORDS.get(ticket.order.task, ticket.order.task)
            ui.label(f"{words}: done in {ticket.result.seconds:.1f} s with {ticket.result.model}").classes("text-sm")
            for note in ticket.result.retries + ticket.result.notes:
                ui.label(f"{note[:1].upper()}{note[1:].rstrip('.')}.").classes("text-xs opacity-70")
        else:
            colour = "text-negative" if ticket.state is State.FAILED else "opacity-70"
            ui.label(ticket.message if ticket.state is State.FAILED else STATE_WORDS[ticket.state]).classes(colour)

    def _compare(self, row: Row, ticket: Ticket) -> None:
        with self.beside, ui.dialog(value=True) as dialog, ui.card().classes("w-full max-w-6xl"):
            dialog.on("hide", dialog.delete)
            before, after = f"/api/previews/{row.given.id}", f"/api/previews/{ticket.id}"
            ui.html(
                '<div class="compare">'
                f'<img class="after" src="{after}" alt="after"><img class="before" src="{before}" alt="before">'
                '<div class="line"></div><span style="left:8px">before</span><span style="right:8px">after</span>'
                '<input type="range" min="0" max="100" step="0.1" value="50" aria-label="before and after" '
                "oninput=\"this.parentNode.style.setProperty('--at', this.value + '%')\"></div>",
                sanitize=False,
            ).classes("w-full")
            ui.button("Close", on_click=dialog.close).props("flat")

    def _remove(self, row: Row) -> None:
        self.rows.remove(row)
        self.service.forget(row.given.id)
        self._show()

    def _refresh(self) -> None:
        if self._drawn != self._states():
            self._show()

    def _states(self) -> list[State | None]:
        """What decides how rows look; the button that is about to be pressed must not be drawn anew meanwhile."""
        states = [row.ticket.state if row.ticket else None for row in self.rows]
        return [State.WAITING if state is State.RUNNING else state for state in states]

    def _leave(self) -> None:
        for row in self.rows:
            self.service.forget(row.given.id)


def _icon(name: str, text: str, click: object) -> None:
    ui.button(icon=name, on_click=click).props(f'flat round dense aria-label="{text}"').tooltip(text)  # type: ignore[arg-type]


def _words(ticket: Ticket, remaining: float | None) -> str:
    """State and remaining time."""
    word = STATE_WORDS[ticket.state]
    if remaining is None:
        return word
    return f"{word}, {remaining:.0f} s left" if remaining < 90 else f"{word}, {remaining / 60:.0f} min left"
