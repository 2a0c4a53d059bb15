"""What the commands that restore pictures say of their work."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import Console
from ..errors import MambairError
from .common import stop_if_interrupted

if TYPE_CHECKING:
    from ..restoration.result import Job, Result


@dataclass
class Outcome:
    """Tells of results as they come, and of all of them in the end. ``failed`` names inputs."""

    console: Console
    jobs: "list[Job]"
    done: int = 0
    skipped: int = 0
    megapixels: float = 0.0
    failed: list[str] = field(default_factory=list)
    finished: "list[Job]" = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    waited: bool = False

    def tell(self, job: "Job", result: "Result") -> None:
        """One result.

        Raises:
            KeyboardInterrupt: its error is an interruption.
        """
        for warning in result.retries + result.notes:
            self.console.warn(f"{job.input}: {warning}")
        if result.error is not None:
            self._failed(job, result)
            return
        if result.skipped:
            self.skipped += 1
        else:
            self.done += 1
            if not job.piped_out:
                self.finished.append(job)
            self.megapixels += result.megapixels
            frames = f", {result.frames} frames" if result.frames else ""
            self.console.note(
                f"{job.input} ({result.width} x {result.height}{frames}) in {result.seconds:.1f} s"
                f" with {result.model}, {result.tiles} tile{'s' if result.tiles != 1 else ''} of {result.tile} pixels"
            )
        if result.estimate is not None and self.console.verbose:
            self.console.note(f"{job.input}: {result.estimate}")
        self.console.data(result.output, result.record())

    def _failed(self, job: "Job", result: "Result") -> None:
        stop_if_interrupted()
        self.failed.append(job.input)
        self.console.error(MambairError(str(result.error), result.hint or ""))
        self.console.trace(result.trace)
        if self.console.json:
            self.console.data("", result.record())

    def wait(self, text: str) -> None:
        """Say once why nothing happens."""
        if not self.waited:
            self.console.note(text)
        self.waited = True

    def begun(self) -> None:
        """Say of which clips a part is done and kept."""
        clips = [job for job in self.jobs if job.clip]
        if clips:
            from ..video.segments import folder_of

            for job in clips:
                if isinstance(job.target, Path) and folder_of(job.target).is_dir():
                    self.console.note(f"{job.input} is done in part: the same command with --resume goes on.")

    def missing(self) -> None:
        """Count results as failed that are gone, such as those in a folder that somebody moved away meanwhile."""
        for job in self.finished:
            if isinstance(job.target, Path) and not os.path.lexists(job.target):
                self.done -= 1
                self.failed.append(job.input)
                self.console.error(
                    MambairError(
                        f"{job.target} was written, but is gone.", "Was its folder moved or removed? Run again."
                    )
                )

    def summary(self) -> None:
        """How many, how long, how fast."""
        if len(self.jobs) < 2:
            return
        seconds = time.monotonic() - self.started
        counts = {"done": self.done, "skipped": self.skipped, "failed": len(self.failed)}
        parts = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        speed = f", {self.megapixels / seconds:.3g} megapixels/s" if self.megapixels else ""
        self.console.note(f"{parts} in {seconds:.1f} s{speed}.")
