"""Reads the YAML that people write in the files of examples/deploy, so that their check needs nothing but Python.

Mappings and sequences in blocks, and on one line in braces and brackets; scalars, quoted or not; comments; several documents;
anchors of mappings, and `<<`. Whatever else there is in YAML is an error, not something that is read wrongly.
"""

from __future__ import annotations

import re

__all__ = ["YamlError", "load_all"]

_KEY = re.compile(r"""(?P<key>"[^"]*"|'[^']*'|[^\s#&*\[\]{},"'!|>%@`-][^#]*?|<<)\s*:(?=\s|$)""")
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?$")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
# What YAML 1.1 reads as something else than it looks like.
_AMBIGUOUS = re.compile(r"(?i)(yes|no|on|off|0\d+|0x[0-9a-f]+|0o\d+|\d+:\d+|[-+]?\d+e\d+|[-+]?\d[\d_]*_[\d_]*)$")


class YamlError(ValueError):
    """What is in the text is no YAML, or more YAML than this reads."""


def load_all(text: str) -> list:
    """The documents in a text."""
    documents = re.split(r"(?m)^---\s*(?:#.*)?$", text)
    offsets = [0]
    for document in documents:
        offsets.append(offsets[-1] + document.count("\n"))
    found = []
    for document, offset in zip(documents, offsets):
        lines = _lines(document, offset)
        if lines:
            reader = _Reader(lines)
            found.append(reader.document())
    return found


def _lines(text: str, offset: int) -> list[tuple[int, int, str]]:
    """(number, indentation, content) of each line that has some."""
    lines = []
    for number, line in enumerate(text.splitlines(), offset + 1):
        if "\t" in line:
            raise YamlError(f"line {number}: a tab")
        content = _without_comment(line).rstrip()
        if content.strip():
            lines.append((number, len(content) - len(content.lstrip()), content.strip()))
    return lines


def _without_comment(line: str) -> str:
    quote = None
    for at, char in enumerate(line):
        if quote:
            quote = None if char == quote else quote
        elif char in "\"'" and (at == 0 or line[at - 1] in " [{,:"):
            quote = char
        elif char == "#" and (at == 0 or line[at - 1] == " "):
            return line[:at]
    return line


class _Reader:
    def __init__(self, lines: list[tuple[int, int, str]]):
        self.lines = lines
        self.at = 0
        self.anchors: dict[str, object] = {}

    def document(self):
        value = self.block(self.lines[0][1])
        if self.at < len(self.lines):
            raise YamlError(f"line {self.lines[self.at][0]}: unexpected indentation")
        return value

    def peek(self):
        return self.lines[self.at] if self.at < len(self.lines) else (0, -1, "")

    def block(self, indent: int):
        _, found, content = self.peek()
        if found != indent:
            raise YamlError(f"line {self.peek()[0]}: unexpected indentation")
        if content == "-" or content.startswith("- "):
            return self.sequence(indent)
        return self.mapping(indent)

    def sequence(self, indent: int) -> list:
        items = []
        while True:
            number, found, content = self.peek()
            if found != indent or not (content == "-" or content.startswith("- ")):
                return items
            rest = content[1:].strip()
            if not rest:
                self.at += 1
                items.append(self.nested(indent, number))
            elif _KEY.match(rest):
                # A mapping whose first key stands beside the dash: the others are as far to the right.
                inner = indent + content.index(rest, 1)
                self.lines[self.at] = (number, inner, rest)
                items.append(self.mapping(inner))
            else:
                self.at += 1
                items.append(self.value(rest, number))

    def mapping(self, indent: int) -> dict:
        found_keys: dict = {}
        merged: dict = {}
        while True:
            number, found, content = self.peek()
            match = _KEY.match(content) if found == indent else None
            if not match:
                if found == indent and not (content == "-" or content.startswith("- ")):
                    raise YamlError(f"line {number}: no key")
                return {**merged, **found_keys}
            key = match["key"]
            key = key[1:-1] if key[0] in "\"'" else key
            rest = content[match.end():].strip()
            self.at += 1
            anchor = None
            if rest.startswith("&"):
                anchor, _, rest = rest[1:].partition(" ")
            value = self.value(rest, number) if rest else self.nested(indent, number, is_key=True)
            if anchor:
                self.anchors[anchor] = value
            if key == "<<":
                if not isinstance(value, dict):
                    raise YamlError(f"line {number}: << of something that is no mapping")
                merged.update(value)
            elif key in found_keys:
                raise YamlError(f"line {number}: {key} comes twice")
            else:
                found_keys[key] = value

    def nested(self, indent: int, number: int, is_key: bool = False):
        """What is further to the right; of a key also a sequence right below it. None where there is nothing."""
        _, found, content = self.peek()
        is_sequence = content == "-" or content.startswith("- ")
        if found > indent or (is_key and found == indent and is_sequence):
            return self.block(found)
        return None

    def value(self, text: str, number: int):
        if text.startswith("*"):
            if text[1:] not in self.anchors:
                raise YamlError(f"line {number}: nothing is called {text[1:]}")
            return self.anchors[text[1:]]
        value, rest = _flow(text, number)
        if rest.strip():
            raise YamlError(f"line {number}: {rest.strip()!r} behind the value")
        return value


def _flow(text: str, number: int, inside: bool = False):
    """A value at the beginning of a text, and what follows it."""
    text = text.lstrip()
    if text[:1] in "[{" and text:
        return _collection(text, number)
    if text[:1] in ("'", '"'):
        end = text.find(text[0], 1)
        if end < 0 or (text[0] == '"' and "\\" in text[:end]) or text[end + 1:end + 2] == "'":
            raise YamlError(f"line {number}: a quoted text that this does not read")
        return text[1:end], text[end + 1:]
    if text[:1] in "&*!|>%@`" and text:
        raise YamlError(f"line {number}: {text[:1]!r} is not read here")
    end = min((at for at in (text.find(char) for char in ",]}") if at >= 0), default=len(text)) if inside else len(text)
    word = text[:end].strip()
    if _AMBIGUOUS.match(word) or (": " in word or word.endswith(":")):
        raise YamlError(f"line {number}: {word} may be read in two ways; quote it")
    if word.lower() in _WORDS:
        return _WORDS[word.lower()], text[end:]
    if _NUMBER.match(word):
        return (float(word) if "." in word else int(word)), text[end:]
    return word, text[end:]


def _collection(text: str, number: int):
    closing = {"[": "]", "{": "}"}[text[0]]
    items: list = []
    pairs: dict = {}
    rest = text[1:].lstrip()
    while not rest.startswith(closing):
        if closing == "}":
            match = _KEY.match(rest)
            if not match:
                raise YamlError(f"line {number}: no key in braces")
            value, rest = _flow(rest[match.end():], number, inside=True)
            pairs[match["key"].strip("\"'")] = value
        else:
            value, rest = _flow(rest, number, inside=True)
            items.append(value)
        rest = rest.lstrip()
        if rest.startswith(","):
            rest = rest[1:].lstrip()
        elif not rest.startswith(closing):
            raise YamlError(f"line {number}: {closing} is missing")
    return (pairs if closing == "}" else items), rest[1:]
