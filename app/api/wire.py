"""Bodies of the hot path: decoded by msgspec straight into typed structs, encoded the same way.

msgspec names the place of a mistake itself, so there is no second model to explain what the first
refused.
"""

from typing import Any, TypeVar

import msgspec
from starlette.responses import Response

from app.core.errors import Invalid, Malformed
from app.core.routing.document import place_of

T = TypeVar("T")

encode = msgspec.json.encode


def decode(decoder: "msgspec.json.Decoder[T]", raw: Any) -> T:
    """Decode one JSON text, of which nothing is a NUL character.

    Args:
        decoder: of the type that is expected.
        raw: bytes, or a part of a body.

    Raises:
        Malformed: not JSON, or text that is not Unicode.
        Invalid: JSON of another shape; a string with NUL; nesting without end.
    """
    value = decode_outline(decoder, raw)
    # PostgreSQL keeps no NUL in text; the escape is rare, so the search for it is the rule and the
    # walk the exception
    if b"\\u0000" in bytes(raw):
        _refuse_nul(msgspec.json.decode(raw), ())
    return value


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
        raise Malformed(f"Not valid JSON: {error}.", loc=("body",)) from None
    except RecursionError:
        raise Invalid("Nested too deeply.", loc=("body",)) from None


def reply(value: Any, status: int) -> Response:
    """A JSON response of a struct."""
    return Response(encode(value), status, media_type="application/json")


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
