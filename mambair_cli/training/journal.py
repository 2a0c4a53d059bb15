"""What a run writes down: a log for people, rows for programs, curves for TensorBoard."""

import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

ROWS = "log.jsonl"
LOG = "train.log"


class _Warnings(logging.Handler):
    def __init__(self, warn: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self.warn = warn

    def emit(self, record: logging.LogRecord) -> None:
        self.warn(record.getMessage())


@contextmanager
def warnings_shown(warn: Callable[[str], None]) -> Iterator[None]:
    """Show what BasicSR warns about, while it builds as while it trains."""
    logger, handler = logging.getLogger("basicsr"), _Warnings(warn)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class Journal:
    """Of one experiment, written by its first process alone.

    ``log.jsonl`` holds nothing that depends on the machine or the clock: a resumed run leaves the same rows as one that
    was never stopped.

    Args:
        folder: of the experiment.
        iteration: the one to go on from; rows and curves after it are removed.
        tensorboard: whether to draw curves.
    """

    def __init__(self, folder: Path, iteration: int, tensorboard: bool) -> None:
        self.rows = folder / ROWS
        _cut(self.rows, iteration)
        self.logger = logging.getLogger("basicsr")
        self.handler = logging.FileHandler(folder / LOG, encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
        self.logger.addHandler(self.handler)
        self.curves = _curves(folder / "tb_logger", iteration) if tensorboard else None

    def row(self, **values: Any) -> None:
        """Add a row; numbers beside ``iter`` become points of curves. What JSON lacks, NaN and infinity, is null."""
        with self.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps({name: _finite(value) for name, value in values.items()}, allow_nan=False) + "\n")
        if self.curves:
            for name, value in values.items():
                if isinstance(value, float):
                    group = "losses/" if name.startswith("l_") else ""
                    self.curves.add_scalar(group + name, value, values["iter"])

    def say(self, text: str) -> None:
        """Add a line to the log."""
        self.logger.info(text)

    def close(self) -> None:
        """Give up the files."""
        self.logger.removeHandler(self.handler)
        self.handler.close()
        if self.curves:
            self.curves.close()


def _curves(folder: Path, iteration: int) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=iteration + 1)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cut(path: Path, iteration: int) -> None:
    """Keep whole rows up to ``iteration``: a killed run got further than its last checkpoint, perhaps into a line."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if not line.endswith("\n") or json.loads(line)["iter"] > iteration:
                break
        except (ValueError, LookupError, TypeError):  # after a power failure, zeros say
            break
        kept.append(line)
    temporary = path.with_suffix(".part")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)
