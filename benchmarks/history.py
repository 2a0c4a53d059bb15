"""Times the models that ship, keeps the figures by commit, and writes the table of docs/results.md.

python -m benchmarks.history [--size 512]

One line is added to ``history.jsonl``: commit, processor, threads and seconds per megapixel of every model. Only lines
of the same processor compare. The table stands between two marks in docs/results.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
HISTORY = Path(__file__).with_name("history.jsonl")
RESULTS = PROJECT / "docs/results.md"
BEGIN, END = "<!-- bench -->\n", "<!-- /bench -->\n"


def measured(size: int) -> dict[str, Any]:
    """What ``mambair bench`` says, with the commit."""
    command = [sys.executable, "-m", "mambair_cli", "bench", "--size", str(size), "--json"]
    record: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    commit = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty"]
    return {"commit": subprocess.run(commit, stdout=subprocess.PIPE, check=True, text=True).stdout.strip(), **record}


def table(record: dict[str, Any]) -> str:
    """The table of docs/results.md."""
    head = (
        f"{record['size']} x {record['size']} pixels, {record['threads']} threads of {record['processor']}, "
        f"{record['code']}, commit {record['commit']}:\n\n"
        "| model | megapixels a minute | s/Mpx | times EDSR-baseline x4 |\n|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {row['name']} | {row['megapixels_per_minute']:.1f} | {row['seconds']:.2f} "
        f"| {row['times_yardstick']:.2f} |\n"
        for row in record["rows"]
    )


def replaced(text: str, part: str) -> str:
    """``text`` with ``part`` between the marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, _, rest = text.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError("the marks of the table are missing")
    return f"{before}{BEGIN}{part}{END}{after}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    record = measured(parser.parse_args().size)
    with HISTORY.open("a", encoding="utf-8") as history:
        history.write(json.dumps(record) + "\n")
    RESULTS.write_text(replaced(RESULTS.read_text(encoding="utf-8"), table(record)), encoding="utf-8")
    print(table(record), end="")


if __name__ == "__main__":
    main()
