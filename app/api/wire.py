"""Bodies of the hot path: decoded by msgspec straight into typed structs, encoded the same way.

msgspec names the place of a mistake itself, so there is no second model to explain what the first
refused.
"""

import re
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from app.core.errors import Invalid, Malformed
from app.core.routing.document import place_of

T = TypeVar("T")

encode = msgspec.json.encode
# text up to the first escape of a surrogate that is no half of a pair
_LONE_SURROGATE = re.compile(
    rb"(?:[^\\]++|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\(?!u[dD][89a-fA-F]).)*+"
    rb"(\\u[dD][89a-fA-F]..)",
    re.DOTALL,
)


def decode(decoder: "msgspec.json.Decoder[T]", raw: bytes) -> T:
    """Decode one JSON text, of which nothing is a NUL character.

    Args:
        decoder: of the type that is expected.
        raw: the text.

    Raises:
        Malformed: not JSON, or text that is not Unicode.
        Invalid: JSON of another shape; a string with NUL; nesting without end.
    """
    value = decode_outline(decoder, raw)
    if may_hold_nul(raw):
        refuse_nul(raw)
    return value


def may_hold_nul(raw: bytes) -> bool:
    """Whether a JSON text can hold a NUL character, which PostgreSQL does not keep in text.

    The escape is rare, so the search for it is the rule and the walk of `refuse_nul` the exception.
    """
    return b"\\u0000" in raw


def refuse_nul(raw: Any) -> None:
    """Walk through one JSON text that has been decoded before.

    Raises:
        Invalid: a string of it holds a NUL character; nesting without end.
    """
    try:
        _refuse_nul(msgspec.json.decode(raw), ())
    except RecursionError:
        # the walk goes a few calls deeper than the decoder did
        raise Invalid("Nested too deeply.", loc=("body",)) from None


def decode_outline(decoder: "msgspec.json.Decoder[T]", raw: Any) -> T:
    """Decode one JSON text whose parts are decoded later, each for itself.

    Raises:
        Malformed: not JSON, or text that is not Unicode.
        Invalid: JSON of another shape; nesting without end.
    """
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise Invalid.of([place_of(error)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"Not valid JSON: {_why(error, raw)}.", loc=("body",)) from None
    except RecursionError:
        raise Invalid("Nested too deeply.", loc=("body",)) from None


def reply(value: Any, status: int) -> Response:
    """A JSON response of a struct."""
    return Response(encode(value), status, media_type="application/json")


def _why(error: Exception, raw: Any) -> str:
    """What is wrong with a text that is no JSON.

    msgspec calls half of a surrogate pair at the end of a string a truncated text. It would have
    stopped there before any other mistake, so one that is found is the one it means.
    """
    reason = str(error)
    if "truncated" in reason or "surrogate" in reason:
        lone = _LONE_SURROGATE.match(memoryview(raw))
        if lone is not None:
            escape = lone[1].decode("latin-1")
            return f"{escape} (byte {lone.start(1)}) is half of a surrogate pair and no character"
    return reason


def _refuse_nul(value: Any, loc: tuple[str | int, ...]) -> None:
    if isinstance(value, str) and "\x00" in value:
        raise Invalid("Must not contain NUL characters.", loc=loc or ("body",))
    if isinstance(value, dict):
        for key, child in value.items():
            _refuse_nul(key, (*loc, "key"))
            _refuse_nul(child, (*loc, key))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            _refuse_nul(child, (*loc, place))
