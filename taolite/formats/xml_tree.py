"""XML label files as elements with their lines, in whatever encoding they are.

East Asian tools write `gb2312`, `big5`, `euc-kr` or `shift_jis`, which expat does not decode, and tools of all kinds
declare one encoding and write another. So the bytes are decoded here and expat gets UTF-8. A DOCTYPE is refused before
any entity is expanded, so a label file can neither blow up nor reach other files.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from taolite.formats.findings import Findings
from taolite.formats.text import show

__all__ = ["Node", "head_of", "parse_xml"]

_HEAD = 4096  # bytes that are read to recognise a file
_DECLARED = re.compile(rb"""^\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z][A-Za-z0-9._-]{0,39})["']""")
_MARKS = (  # byte order marks, and how `<` begins a file without one
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0\0\0", "utf-32-le"),
    (b"\0\0\0<", "utf-32-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
_WIDER = {  # what tools write under the name of a smaller set
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "big5": "cp950",
    "ascii": "utf-8",
}
_LIKELY = ("gb18030", "cp932", "cp949", "cp950", "cp1252")  # tried for the message where no declaration helps
_EAST_ASIAN = ("gb", "big5", "cp9", "euc", "shift", "johab", "hz", "iso2022")
_CJK = 0x0800  # from here on a character takes three bytes of UTF-8


@dataclass
class Node:
    """One XML element: its own text, its children, the line of its opening tag."""

    name: str
    line: int
    pieces: list[str] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Node]:
        """The children called `name`."""
        return (child for child in self.children if child.name == name)

    def first(self, name: str) -> Node | None:
        """The first child called `name`, or None."""
        return next(self.all(name), None)

    def text(self, name: str) -> str:
        """The stripped text of the first child called `name`; empty where there is none."""
        node = self.first(name)
        return "".join(node.pieces).strip() if node is not None else ""


def head_of(path: Path) -> str:
    """The beginning of an XML file as text, with a mark for every byte that cannot be decoded."""
    with open(path, "rb") as stream:
        data = stream.read(_HEAD)
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "latin-1")
    return data.decode(encoding, errors="replace")


def parse_xml(path: Path, findings: Findings) -> Node | None:
    """The root element, or None for what is no XML or has a DOCTYPE; the reason goes to `findings`.

    An encoding that is declared wrongly and can be told all the same is a note.
    """
    text = _decode(path, path.read_bytes(), findings)
    if text is None:
        return None
    parser = expat.ParserCreate("utf-8")
    open_nodes = [Node("", 0)]

    def start(name: str, attributes: dict[str, str]) -> None:
        node = Node(name, parser.CurrentLineNumber)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(name: str) -> None:
        open_nodes.pop()

    def add_text(data: str) -> None:
        open_nodes[-1].pieces.append(data)

    def refuse(*declaration: object) -> None:
        raise _RefusedError

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, add_text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        findings.error("unreadable-label", path, f"not XML ({expat.errors.messages[error.code]})", line=error.lineno)
        return None
    except _RefusedError:
        problem = "a DOCTYPE is refused: label files need none, and it can hide an entity bomb; delete that line"
        findings.error("unreadable-label", path, problem, line=parser.CurrentLineNumber)
        return None
    return open_nodes[0].children[0]


class _RefusedError(Exception):
    """The file declares a document type."""


def _decode(path: Path, data: bytes, findings: Findings) -> str | None:
    """The file as text, or None where nothing decodes it."""
    mark = next((name for begin, name in _MARKS if data.startswith(begin)), None)
    declared = _DECLARED.match(data[:_HEAD])
    named = declared[1].decode() if declared else ""
    encoding = mark or named or "utf-8"
    try:
        known = codecs.lookup(encoding).name
    except LookupError:
        text = f"declares the encoding {show(named)}, which does not exist; save it as UTF-8"
        findings.error("unreadable-label", path, text, line=1)
        return None
    if (
        mark is None
        and known != "utf-8"
        and (_is_certainly_utf8(data, known) or known.startswith(("utf-16", "utf-32")))
    ):
        text = f"declares the encoding {show(named)} and is UTF-8; it is read as UTF-8; correct its first line"
        found = _decoded(data, "utf-8")
        if found is not None:
            findings.note("wrong-encoding", path, text, line=1)
            return found
    for name in dict.fromkeys((encoding, _WIDER.get(known, encoding))):
        text_or_none = _decoded(data, name)
        if text_or_none is not None:
            return text_or_none
    said = f"declares the encoding {show(named)}" if named else "declares no encoding, which means UTF-8"
    likely = next((name for name in _LIKELY if _decoded(data, name) is not None), None)
    way = f'perhaps it is {likely}: write encoding="{likely}" into its first line' if likely else "save it as UTF-8"
    problem = f"{said}, and its bytes are not of that encoding; {way}{', or save it as UTF-8' if likely else ''}"
    findings.error("unreadable-label", path, problem, line=1)
    return None


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError, ValueError):  # LookupError: a codec that is none of text (`hex`)
        return None


def _is_certainly_utf8(data: bytes, declared: str) -> bool:
    """Whether bytes that should be of the encoding `declared` are UTF-8 instead, with more than ASCII.

    Of an East Asian encoding two-byte characters are no proof: the one for `cat` in GB2312 is also a letter of UTF-8.
    """
    if data.isascii():
        return False
    text = _decoded(data, "utf-8")
    if text is None or not declared.startswith(_EAST_ASIAN):
        return text is not None
    return all(ord(letter) < 0x80 or ord(letter) >= _CJK for letter in text)
