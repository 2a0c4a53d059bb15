"""YAML with places: what PyYAML does not report, and what it reads differently from what people mean."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mambair_cli.training.recipe import locations

TEXT = st.text("nul:#-'\"\n\\ é{[&*!.", max_size=6)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3))


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2e-4", 2e-4), ("1E3", 1000.0), ("-.5e+3", -500.0), ("5e3", 5000.0), ("2.0e-4", 2e-4), ("12", 12), ("1e", "1e")],
)
def test_numbers_mean_what_they_say(written: str, meant: object) -> None:
    assert locations.read(f"a: {written}", "r.yml").data == {"a": meant}


@given(st.dictionaries(TEXT, VALUES, max_size=3))
def test_what_yaml_writes_is_read_as_yaml_reads_it(data: dict[str, object]) -> None:
    text = yaml.safe_dump(data, sort_keys=False)
    document = locations.read(text, "r.yml")
    assert not document.mistakes
    assert document.data == yaml.safe_load(text) == data


@given(st.lists(st.text("abcdef", min_size=1), min_size=1, max_size=6, unique=True))
def test_places_are_those_of_the_text(keys: list[str]) -> None:
    text = "".join(f"{'  ' * depth}{key}:\n" for depth, key in enumerate(keys))
    document, path = locations.read(text, "r.yml"), ()
    for depth, key in enumerate(keys):
        path += (key,)  # type: ignore[assignment]
        place = document.keys[path]
        assert (place.line, place.column) == (depth + 1, 2 * depth + 1)


def test_merge_keys_are_no_duplicates_wherever_they_are_used() -> None:
    document = locations.read("base: &b {x: 1, y: 2}\nk: &k\n  <<: *b\n  x: 3\nm: *k\n", "r.yml")
    assert not document.mistakes
    assert document.data["m"] == document.data["k"] == {"x": 3, "y": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1, 2\nb: 3", "r.yml:2:2: not YAML: expected ',' or ']', but got ':'"),
        ("a: \x01", "r.yml:1:4: the character '\\x01' is not allowed in YAML"),
        ("a: !!float x", "r.yml:1:4: a is 'x', which is no float"),
        ("a: !!python/object/apply:os.getcwd []", "r.yml:1:4: a is a collection, which is no os.getcwd"),
        ("on: 1", "r.yml:1:1: the key 'on' in the recipe is not text"),
        ("a:\n  <<: 1", "r.yml:2:7: << in a takes mappings only"),
        ("a: !!float ", "r.yml:1:4: a is '', which is no float"),
        ("a: *b", "r.yml:1:4: not YAML: found undefined alias 'b'"),
        ("a: &a\n  b: [*a]", "r.yml:2:3: a.b.0 contains itself: its anchor is one of the mappings around it"),
    ],
)
def test_what_is_no_plain_yaml_is_said_with_its_place(text: str, expected: str) -> None:
    (mistake,) = locations.read(text, "r.yml").mistakes
    assert str(mistake).startswith(expected)


def test_a_small_file_that_describes_a_large_tree_is_refused() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    (mistake,) = locations.read("\n".join(["l0: &l0 [1, 1]", *levels]), "r.yml").mistakes
    assert "larger than 20000 values" in mistake.message


@pytest.mark.parametrize(("text", "place"), [("a:\n\tb: 1", (2, 1)), ("a:\t1", (1, 3)), ("a:\n  \tb: 1", (2, 3))])
def test_tabs_are_named_with_their_place(text: str, place: tuple[int, int]) -> None:
    (mistake,) = locations.read(text, "r.yml").mistakes
    assert (mistake.place.line, mistake.place.column) == place
    assert "a tab" in mistake.message


def test_tabs_in_texts_are_fine() -> None:
    assert locations.read("a: 'x\ty'", "r.yml").data == {"a": "x\ty"}
