"""The reference page names every key, and every link on it leads somewhere."""

import re
from importlib.util import find_spec

import pytest

from mambair_cli.training.recipe.reading import json_schema
from mambair_cli.training.recipe.reference import markdown

pytestmark = pytest.mark.skipif(not find_spec("basicsr"), reason="BasicSR's parts are a part of the page")


@pytest.fixture(scope="module")
def page() -> str:
    return markdown()


def test_every_part_and_every_key_is_on_it_with_its_meaning(page: str) -> None:
    sections = dict(re.findall(r"^#{2,3} (.+?)\n(.*?)(?=^#{2,3} |\Z)", page, re.S | re.M))
    schema = json_schema()
    for name, part in {"The recipe": schema, **schema["$defs"]}.items():
        for key in set(part["properties"]) - {"type"}:
            assert f"| `{key}` |" in sections[name]
    own = sections["MambaIR"]
    assert "| `mlp_ratio` | number |" in own
    for kind, key in (("Muon", "adamw_betas"), ("Adam", "betas")):
        assert f"| `{key}` | list of 2 of number, at least 0, at most 1 | `[0.9, 0.999]` |" in sections[kind]
    assert "| `total_iter` | integer, at least 1 |  | Steps of training. |" in sections["Train"]


def test_links_lead_to_headings(page: str) -> None:
    headings = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\]\(#(.+?)\)", page)) <= headings
