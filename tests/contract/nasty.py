"""What no friendly client sends, to be put into each field of a good body."""

import json
from collections.abc import Iterator
from typing import Any

# JSON texts of values that no field takes
REFUSED = {
    "a NUL": r'"a\u0000b"',
    "a lone surrogate": r'"a\ud800b"',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "more than a double": "1e400",
    "100,000 lists deep": "[" * 100_000 + "]" * 100_000,
}
# the same, but whatever reads them does not get as far as the field
UNREADABLE = {
    "surrogates in the wrong order": r'"\udc00\ud800"',
    "minus Infinity": "-Infinity",
    "100,000 objects deep": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a NUL in a name": r'{"a\u0000b": 1}',
    "a surrogate in a name": r'{"\ud800": 1}',
    "half a string": '"abc',
}
# values that some fields take; they must not end in a 5xx
STRANGE = {
    "null": "null",
    "true": "true",
    "minus one": "-1",
    "the greatest double": "1.7976931348623157e308",
    "2^63": str(2**63),
    "300 digits": "9" * 300,
    "5,000 digits": "9" * 5_000,
    "140,000 digits": "9" * 140_000,
    "an empty string": '""',
    "an emoji": r'"\ud83d\ude00"',
    "a newline at the end": r'"triage\n"',
    "a long string": json.dumps("x" * 200_000),
    "an empty list": "[]",
    "an empty object": "{}",
    "500 lists deep": "[" * 500 + "]" * 500,
    "the first moment, east of it": '"0001-01-01T00:00:00+14:00"',
    "the last moment, west of it": '"9999-12-31T23:59:59-14:00"',
}
BODIES = {
    "empty": b"",
    "blank": b" \n",
    "not JSON": b"not JSON",
    "cut off": b'{"a": 1',
    "two": b"{} {}",
    "invalid UTF-8": b"\xff\xfe{}",
    "invalid UTF-8 in a name": b'{"\xff": 1}',
    "UTF-16": '{"model": "x"}'.encode("utf-16"),
    "NUL bytes": b"\x00" * 10,
    "open lists": b"[" * 100_000,
    "null": b"null",
    "text": b'"text"',
    "a list": b"[]",
}
# percent-encoded, for path and query
PARAMETERS = {
    "NUL": "%00",
    "invalid UTF-8": "%FF%FE",
    "a surrogate in UTF-8": "%ED%A0%80",
    "a broken escape": "%zz%",
    "very long": "x" * 5_000,
    "5,000 digits": "9" * 5_000,
    "minus one": "-1",
    "not a number": "nan",
    "more than a double": "1e400",
    "empty": "",
    "a newline at the end": "triage%0A",
    "a cursor of zeros": "A" * 22,
    "a cursor of ones": "_" * 21 + "w",
    "a cursor that is none": "A" * 21,
    "the first moment, east of it": "0001-01-01T00:00:00%2B14:00",
    "the last moment, west of it": "9999-12-31T23:59:59-14:00",
    "before 1970": "1900-01-01T00:00:00Z",
    "far ahead": "9000-01-01T00:00:00Z",
    "a segment": "%27:%22%5C",
}
# fields that the examples leave out, by operationId
MORE: dict[str, dict[str, Any]] = {
    "post_prediction": {
        "scores_are": "probabilities",
        "members": [{"name": "a", "label": "positive", "scores": {"positive": 1.0}}],
        "embedding": [0.5],
        "risk": 0.5,
        "context_key": "thread-9",
        "input_key": "input-9",
        "subject": {"text": "great", "uri": "s3://texts/9"},
        "output": {"spans": [1]},
        "occurred_at": "2026-11-24T10:00:00Z",
        "shadow": False,
    },
    "put_policy": {
        "rules": [
            {
                "id": "unsure",
                "confidence": {
                    "below": 0.85,
                    "per_label": {"positive": 0.9},
                    "per_segment": {"source:tweets": 0.9},
                    "scale": "raw",
                },
                "route": "review",
                "queue": "triage",
                "priority": 60,
                "if_missing": "pass",
                "description": "what nobody is sure about",
            },
            {"id": "threat", "labels": ["threat"], "route": "reject"},
            {"id": "tie", "margin": {"below": 0.15}, "route": "reject"},
            {"id": "risky", "risk": {"above": 0.8}, "route": "reject"},
            {"id": "long", "when": "prediction.features.n > 200", "route": "reject"},
            {"id": "flat", "entropy": {"above": 0.7}, "route": "reject"},
            {
                "id": "split",
                "disagreement": {"measure": "vote_entropy", "above": 0.5},
                "route": "reject",
            },
            {"id": "novel", "novel_label": {}, "route": "reject"},
            {"id": "unfamiliar", "out_of_distribution": {"max_p": 0.01}, "route": "reject"},
            {"id": "some", "sample": {"share": 0.01}, "route": "reject"},
            {
                "id": "imported",
                "activation": {
                    "Conditions": [
                        {
                            "ConditionType": "Sampling",
                            "ConditionParameters": {"RandomSamplingPercentage": 5},
                        }
                    ]
                },
                "route": "reject",
            },
        ],
        "audit": {
            "probability": 0.02,
            "per_label": {"positive": 0.01},
            "rejected_probability": 0.01,
            "queue": "audits",
        },
        "on_drift": [
            {
                "monitor": "sentiment",
                "when": "drifting",
                "segment": "source",
                "raise_confidence_to": 0.95,
                "audit_probability": 0.1,
                "route": "review",
                "queue": "triage",
                "priority": 60,
            }
        ],
        "default": "accept",
        "description": "for tweets",
    },
    "import_a2i_policy": {
        "labels": ["Suggestive"],
        "segments": ["source"],
        "audit": {"probability": 0.02},
        "description": "as at Amazon",
    },
    "simulate_policy": {
        "document": {"name": "policy-9", "applies_to": {"model": "m"}},
        "from": "2026-11-17T10:00:00Z",
        "to": "2026-11-24T10:00:00Z",
        "rows": [{"request_key": "req-9", "model": "m", "model_version": "1", "label": "a"}],
    },
    "put_monitor": {"certified_error": 0.05},
    "mute_monitor": {"until": "2026-11-25T10:00:00Z"},
    "put_reference": {
        "model_version": "1",
        "from_predictions": {"from": "2026-11-17T10:00:00Z", "to": "2026-11-24T10:00:00Z"},
    },
    "put_detector": {
        "rows": [
            {
                "embedding": [0.5, 1.5],
                "label": "positive",
                "scores": {"positive": 1.0},
                "scores_are": "probabilities",
            }
        ],
    },
    "compare": {
        "edges": [1.0, 2.0, 3.0, 4.0],
        "model": "sentiment",
        "model_version": "1",
        "segment": "source:tweets",
    },
    "put_queue": {
        "judge": "single",
        "lease_s_max": 3600,
        "extensions_max": 3,
        "guidelines": "be kind",
    },
    "lookup_decisions": {"ids": ["01a20def-5ea9-7678-b750-478fc8459d02"]},
    "claim": {"resume": True},
    "extend": {"lease_s": 60},
    "submit_verdict": {"source": "tool"},
    "create_key": {"expires_at": "2036-11-24T10:00:00Z"},
}
_MARK = "put it here"


def leaves(body: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all values of a body that are neither objects nor lists."""
    if isinstance(body, dict):
        for name, child in body.items():
            yield from leaves(child, (*place, name))
    elif isinstance(body, list):
        for at, child in enumerate(body):
            yield from leaves(child, (*place, at))
    else:
        yield place


def with_value(body: Any, place: tuple[str | int, ...], text: str) -> bytes:
    """The body as JSON, with another JSON text at one place."""
    marked = json.dumps(_replaced(body, place))
    return marked.replace(json.dumps(_MARK), text).encode()


def with_field(body: dict[str, Any], text: str) -> bytes:
    """The body as JSON, with one more field: `"name": value`."""
    return f"{json.dumps(body)[:-1]}, {text}}}".encode()


def _replaced(body: Any, place: tuple[str | int, ...]) -> Any:
    if not place:
        return _MARK
    step, *rest = place
    if isinstance(body, dict):
        return {**body, step: _replaced(body[step], tuple(rest))}
    return [_replaced(child, tuple(rest)) if at == step else child for at, child in enumerate(body)]
