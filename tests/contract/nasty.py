"""JSON that no friendly client sends, put into each field of a good body."""

import json
from collections.abc import Iterator
from typing import Any

# JSON texts of values that no field takes
REFUSED = {
    "a NUL": r'"a\u0000b"',
    "a lone surrogate": r'"a\ud800b"',
    "surrogates in the wrong order": r'"\udc00\ud800"',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "more than a double": "1e400",
    "100,000 lists deep": "[" * 100_000 + "]" * 100_000,
    "100,000 objects deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a NUL in a name": r'{"a\u0000b": 1}',
    "a surrogate in a name": r'{"\ud800": 1}',
    "no value": "",
    "half a string": '"abc',
}
# values that some field may take; they must not end in a 5xx
STRANGE = {
    "null": "null",
    "true": "true",
    "zero": "0",
    "minus one": "-1",
    "minus zero": "-0.0",
    "a tiny number": "5e-324",
    "the greatest double": "1.7976931348623157e308",
    "2^31": str(2**31),
    "2^53 + 1": str(2**53 + 1),
    "2^63": str(2**63),
    "300 digits": "9" * 300,
    "5,000 digits": "9" * 5_000,
    "140,000 digits": "9" * 140_000,
    "300 digits behind the point": "0." + "3" * 300,
    "an empty string": '""',
    "an emoji": r'"\ud83d\ude00"',
    "a newline at the end": r'"triage\n"',
    "a string": '"x"',
    "a long string": json.dumps("x" * 200_000),
    "an empty list": "[]",
    "an empty object": "{}",
    "a list": "[1]",
    "an object": '{"a": 1}',
    "500 levels": "[" * 500 + "]" * 500,
    "the first moment, east of it": '"0001-01-01T00:00:00+14:00"',
    "the last moment, west of it": '"9999-12-31T23:59:59-14:00"',
    "a moment long ago": '"1000-01-01T00:00:00Z"',
    "a half second past midnight on no day": '"2023-02-30T00:00:00Z"',
}
_MARK = "put it here"


def fields(body: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values inside a body, containers included."""
    if isinstance(body, dict | list):
        for step, child in body.items() if isinstance(body, dict) else enumerate(body):
            yield (*place, step)
            yield from fields(child, (*place, step))


def with_value(body: Any, place: tuple[str | int, ...], text: str) -> bytes:
    """The body as JSON, with another JSON text at one place."""
    marked = json.dumps(_replaced(body, place, _MARK))
    return marked.replace(json.dumps(_MARK), text).encode()


def with_twin(body: dict[str, Any], name: str) -> bytes:
    """The body with a field that stands in it twice."""
    twin = f"{json.dumps(name)}: {json.dumps(body[name])}"
    return f"{json.dumps(body)[:-1]}, {twin}}}".encode()


def _replaced(body: Any, place: tuple[str | int, ...], value: Any) -> Any:
    if not place:
        return value
    step, *rest = place
    if isinstance(body, dict):
        return {**body, step: _replaced(body.get(step), tuple(rest), value)}
    children = list(body)
    children[int(step)] = _replaced(children[int(step)], tuple(rest), value)
    return children
