"""The text of a policy document, JSON or YAML, as plain data.

A key that stands twice is refused in both: the later one would win without a word.
"""

import asyncio
import json
from typing import Any

import msgspec
import yaml
from fastapi import Request

from app.api.admission import sends_yaml
from app.api.wire import decode
from app.core.errors import Invalid, Malformed, TooLarge

DOCUMENT_BYTES_MAX = 256 * 1024
# more of a scalar is not repeated to whoever wrote it
SHOWN = 64

_anything = msgspec.json.Decoder(Any)


async def read_document(request: Request) -> Any:
    """The body as plain data: JSON, or YAML where the content type says so.

    Raises:
        TooLarge: past the bytes that a document may have.
        Malformed: neither JSON nor YAML, or a key stands twice.
        Invalid: nested without end, or text that cannot be stored.
    """
    raw = await request.body()
    if len(raw) > DOCUMENT_BYTES_MAX:
        raise TooLarge(f"A policy document has at most {DOCUMENT_BYTES_MAX} bytes.")
    if sends_yaml(request):
        # seconds for the largest document: not for the thread that answers predictions
        return await asyncio.to_thread(_read_yaml, raw)
    document = decode(_anything, raw)
    refuse_repeated_keys(raw)
    return document


def refuse_repeated_keys(raw: bytes) -> None:
    """Look through one JSON text that has been decoded before.

    Raises:
        Malformed: an object of it has a key twice.
        Invalid: nested without end.
    """
    try:
        json.loads(raw, object_pairs_hook=_without_repeated, parse_int=str)
    except RecursionError:
        # this goes a few calls deeper than the decoder did
        raise Invalid("Nested too deeply.", loc=("body",)) from None


def _without_repeated(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise Malformed(f"The key {_shown(key)} stands twice in one object.", loc=("body",))
        seen.add(key)


def _read_yaml(raw: bytes) -> Any:
    try:
        loaded = yaml.load(raw, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader with less
        # through JSON: a date becomes text, NaN null, and what is left must be a document anyway
        return decode(_anything, msgspec.json.encode(loaded, order=None))
    except yaml.YAMLError as error:
        raise Malformed(f"Not valid YAML: {_why(error)}.", loc=("body",)) from None
    except RecursionError:
        raise Malformed("Not valid YAML: it is nested too deeply.", loc=("body",)) from None


class _PlainLoader(yaml.SafeLoader):
    """YAML as far as JSON goes.

    No aliases: a few lines of them unfold into gigabytes. No keys but texts and numbers.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _mistake("aliases are not allowed", self.peek_event())  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, AttributeError):
            # what the library makes of a text that does not fit its tag or what it looks like
            written = _shown(node.value) if isinstance(node.value, str) else "this"
            raise _mistake(
                f"{written} cannot be read as the {node.tag.rpartition(':')[2]} that it looks "
                "like; quote it if it is a text",
                node,
            ) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: ARG002
        for key, _ in node.value:
            self._check_key(key)
        mapping = super().construct_mapping(node, deep=True)
        # 1 and "1" are the same key in JSON
        if len({str(key) for key in mapping}) != len(node.value):
            raise self._repeated(node)
        return mapping

    def _check_key(self, node: Any) -> None:
        if not isinstance(node, yaml.ScalarNode):
            raise _mistake("a key must be a text", node)
        if node.tag == "tag:yaml.org,2002:merge":
            return
        key = self.construct_object(node, deep=True)
        if isinstance(key, bool) or not isinstance(key, str | int | float):
            kind = node.tag.rpartition(":")[2]
            raise _mistake(
                f"the key {_shown(node.value)} is a {kind} in YAML and no text; quote it", node
            )

    def _repeated(self, node: Any) -> yaml.YAMLError:
        seen = set()
        for key, _ in node.value:
            name = str(self.construct_object(key, deep=True))
            if name in seen:
                return _mistake(f"the key {_shown(name)} stands twice in one mapping", key)
            seen.add(name)
        return _mistake("a key stands twice in one mapping", node)


def _unknown_tag(_: Any, node: Any) -> Any:
    raise _mistake(f"the tag {_shown(node.tag)} is not known here", node)


_PlainLoader.add_constructor(None, _unknown_tag)


def _mistake(what: str, at: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=at.start_mark)


def _why(error: yaml.YAMLError) -> str:
    """The mistake and its place in one line; the library's own text has several."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem is not None:
        mark = error.problem_mark
        return error.problem if mark is None else f"{error.problem} (line {mark.line + 1})"
    return str(error).partition("\n")[0].rstrip(".")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")
