"""YAML with the place of every key and value, and with all that is wrong reported at once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from .mistakes import Location, Mistake, Path, dotted, nearest

MOST_VALUES = 20_000
"""Anchors can make a small file describe more values than fit in memory."""

MOST_LEVELS = 50
"""Reading goes one call deeper for each."""


class Loader(yaml.SafeLoader):
    """YAML 1.1 as BasicSR reads it, and numbers such as 2e-4, which YAML 1.1 takes for text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


@dataclass
class Document:
    """What a YAML text says, and where.

    Attributes:
        data: plain dicts, lists and scalars.
        keys: place of each key, by path.
        values: place of each value, by path; for a mapping or list that starts below its key, that of the key.
        mistakes: what could not be read.
        unread: paths whose values mean nothing because of a mistake.
    """

    data: Any = None
    keys: dict[Path, Location] = field(default_factory=dict)
    values: dict[Path, Location] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)

    def place(self, path: Path, *, key: bool = False) -> Location:
        """Location of a value, or of its key; for what is not there, of the nearest mapping that is."""
        places = (self.keys, self.values) if key else (self.values, self.keys)
        for known in places:
            if path in known:
                return known[path]
        return self.place(path[:-1], key=True)

    def at(self, path: Path) -> Any:
        """The value at a path that is there."""
        value = self.data
        for part in path:
            value = value[part]
        return value

    def set(self, path: Path, other: "Document") -> None:
        """Put another document at ``path``, in place of what is there; the mappings on the way must exist."""
        target = self.data
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = other.data
        for mine, new in ((self.keys, other.keys), (self.values, other.values)):
            for old in [old for old in mine if old[: len(path)] == path]:
                del mine[old]
            mine.update({path + rest: place for rest, place in new.items()})
        self.mistakes += other.mistakes
        self.unread |= {path + rest for rest in other.unread}


def read(text: str, file: str) -> Document:
    """Read one YAML document; ``file`` is its name for messages."""
    return _Reader(Location(file, 1, 1)).read(text)


class _Reader:
    def __init__(self, start: Location) -> None:
        self.file, self.start = start.file, start
        self.document = Document()
        self.constructor = yaml.constructor.SafeConstructor()
        self.merged: set[int] = set()

    def read(self, text: str) -> Document:
        document = self.document
        document.values[()] = document.keys[()] = self.start
        try:
            if deep := _too_deep(text):
                self._refuse_depth(self._place(deep))
                return document
            root = yaml.compose(text, Loader)
        except yaml.MarkedYAMLError as error:
            document.mistakes += self._syntax(text, error)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            column = error.position - text.rfind("\n", 0, error.position) - 1
            what = f"the character {chr(error.character)!r} is not allowed in YAML"
            self._add(self._at(line, column), what, (), "Delete it.")
        else:
            document.data = self._value(root, (), ()) if root is not None else None
        if document.mistakes and document.data is None:
            document.unread.add(())
        return document

    def _add(self, place: Location, message: str, path: Path, suggestion: str = "", value: Any = None) -> None:
        self.document.mistakes.append(Mistake(place, message, path, value, suggestion))

    def _at(self, line: int, column: int) -> Location:
        """The place of a character, both counted from 0 in the text."""
        return Location(self.file, self.start.line + line, column + (1 if line else self.start.column))

    def _place(self, mark: Any) -> Location:
        return self._at(mark.line, mark.column)

    def _syntax(self, text: str, error: yaml.MarkedYAMLError) -> Iterator[Mistake]:
        place = self._place(error.problem_mark or error.context_mark)
        what = error.problem or error.context or "unreadable"
        if "'\\t'" not in what:
            hint = "Check the indentation, colons, quotes and brackets here and on the line before."
            yield Mistake(place, f"not YAML: {what}", suggestion=hint)
            return
        for tab in sorted({place, *self._indented_by_tab(text)}):
            yield Mistake(tab, "a tab stands where YAML wants spaces", suggestion="Put spaces there.")

    def _indented_by_tab(self, text: str) -> Iterator[Location]:
        for number, line in enumerate(text.splitlines()):
            if "\t" in line[: len(line) - len(line.lstrip())]:
                yield self._at(number, line.index("\t"))

    def _value(self, node: Node, path: Path, above: tuple[int, ...]) -> Any:
        document = self.document
        below_key = isinstance(node, CollectionNode) and not node.flow_style and path in document.keys
        document.values[path] = document.keys[path] if below_key else self._place(node.start_mark)
        if id(node) in above:
            what = f"{dotted(path)} contains itself: its anchor is one of the mappings around it"
            del document.values[path]  # the place of the anchor
            place = document.place(path, key=True)
            self._unread(place, what, path, "Write the values out in place of the alias.")
            return None
        if len(above) > MOST_LEVELS:
            self._refuse_depth(document.values[path])
            return None
        if len(document.values) > MOST_VALUES:
            if len(document.values) == MOST_VALUES + 1:
                what = f"anchors make this recipe larger than {MOST_VALUES} values"
                self._unread(document.values[path], what, (), "Write the values out in place of the aliases.")
            return None
        if isinstance(node, MappingNode) and node.tag.endswith(":map"):
            return self._mapping(node, path, (*above, id(node)))
        if isinstance(node, SequenceNode) and node.tag.endswith(":seq"):
            return [self._value(item, (*path, i), (*above, id(node))) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _unread(self, place: Location, message: str, path: Path, suggestion: str) -> None:
        self.document.unread.add(path)
        self._add(place, message, path, suggestion)

    def _refuse_depth(self, place: Location) -> None:
        if () not in self.document.unread:
            what = f"lists and mappings lie deeper than {MOST_LEVELS} in one another"
            self._unread(place, what, (), "Write it with fewer levels.")

    def _scalar(self, node: Node, path: Path) -> Any:
        try:
            return self.constructor.construct_object(node, deep=True)
        except Exception:  # PyYAML lets through whatever it stumbles over where a text does not go with its tag
            kind = node.tag.rsplit(":", 1)[-1]
            written = repr(node.value) if isinstance(node, ScalarNode) else "a collection"
            place = self.document.values[path]
            self._unread(place, f"{dotted(path)} is {written}, which is no {kind}", path, "Write a plain value.")
            return None

    def _mapping(self, node: MappingNode, path: Path, above: tuple[int, ...]) -> dict[str, Any]:
        if id(node) not in self.merged:  # an alias brings the same node again, its merge keys resolved
            self.merged.add(id(node))
            self._check_keys(node, path)
            try:
                self.constructor.flatten_mapping(node)
            except yaml.constructor.ConstructorError as error:
                self._add(self._place(error.problem_mark), f"<< in {dotted(path)} takes mappings only", path)
        result = {}
        for key, value in node.value:
            if _is_text(key):
                self.document.keys[(*path, key.value)] = self._place(key.start_mark)
                result[key.value] = self._value(value, (*path, key.value), above)
        return result

    def _check_keys(self, node: MappingNode, path: Path) -> None:
        first: dict[str, Location] = {}
        for key, _ in node.value:
            place = self._place(key.start_mark)
            if key.tag.endswith(":merge"):
                continue
            if not _is_text(key):
                written = repr(key.value) if isinstance(key, ScalarNode) else "a collection"
                self._add(place, f"the key {written} in {dotted(path)} is not text", path, "Put it in quotes.")
            elif key.value in first:
                what = f"the key {key.value!r} is in {dotted(path)} twice, first on line {first[key.value].line}"
                self._add(place, what, (*path, key.value), "Delete one of them.")
            else:
                first[key.value] = place


def _too_deep(text: str) -> Any:
    """Where the first value lies that is too deep; None if there is none."""
    level = 0
    for event in yaml.parse(text, Loader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MOST_LEVELS:
            return event.start_mark
    return None


def _is_text(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.tag.endswith(":str")


def override(document: Document, text: str) -> None:
    """Apply ``key.sub=value``; the value is YAML, and mistakes go to the document."""
    name, equals, value = text.partition("=")
    path = tuple(name.strip().split("."))
    place = Location(f"override '{text}'", 0, 1)
    if not equals or not all(path):
        what = "an override is written key=value, such as train.total_iter=1000"
        near = nearest(name, [dotted(known) for known in document.keys])
        document.mistakes.append(Mistake(place, what, suggestion=f"Did you mean {near}=...?" if near else ""))
        return
    target = document.data
    for depth, part in enumerate(path[:-1], 1):
        if target.get(part) is None:
            target[part] = {}
            document.keys[path[:depth]] = document.values[path[:depth]] = place
        target = target[part]
        if not isinstance(target, dict):
            what = f"{dotted(path[:depth])} holds no keys, so {name} cannot be set"
            document.mistakes.append(Mistake(place, what, path, target, f"Set {dotted(path[:depth])} itself."))
            return
    new = _Reader(Location(place.file, 0, len(name) + 2)).read(value)
    new.keys[()] = place
    document.set(path, new)
