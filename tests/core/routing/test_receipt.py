"""Anybody can make a decision again from its receipt, and no field of it can be changed unseen."""

import copy
import hashlib
import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from app.core.routing.monitors import Seen
from app.core.routing.policy import compile_policy
from app.core.routing.prediction import Unfamiliar
from app.core.routing.receipt import FORMAT, Receipt, digest_of_receipt
from app.core.routing.rules.base import STATE_NAMES
from app.core.routing.verify import Verified, verify
from tests.core.routing.cases import document, prediction, rule
from tests.core.routing.random_decisions import Random
from tests.core.routing.recordings import ID, KEY, NEXT_DAY, THAT_DAY, receipt, served

Path = tuple[str | int, ...]

RULES = [
    rule(id="tie", margin={"below": 0.1}),
    rule(id="odd", when="prediction.features.n > 5"),
    rule(id="unsure", confidence={"below": 0.85, "per_label": {"threat": 0.99}}),
    rule(id="some", sample={"share": 1e-6}),
]
POSTED: dict[str, Any] = {
    "scores": {"positive": 0.9, "negative": 0.1},
    "features": {"n": 3},
    "segment": {"source": "tweets"},
    "embedding": [0.25, -1.5],
}
AMAZON = {
    "Conditions": [
        {
            "ConditionType": "Sampling",
            "ConditionParameters": {"RandomSamplingPercentage": 50},
        }
    ]
}


def audited(now: datetime = NEXT_DAY) -> Receipt:
    return receipt(document(*RULES, audit={"probability": 1}), prediction(**POSTED), now=now)


def drifted(now: datetime = NEXT_DAY) -> Receipt:
    response = {"monitor": "confidence", "when": "drifting", "raise_confidence_to": 0.95}
    return receipt(
        document(*RULES, on_drift=[{**response, "segment": "source"}], segments=["source"]),
        prediction(**POSTED),
        now=now,
        monitors=(Seen("confidence", "drifting", uuid.UUID(int=5), "source"),),
        unfamiliar=Unfamiliar(0.5, 1.25, uuid.UUID(int=6)),
    )


def reviewed(now: datetime = NEXT_DAY) -> Receipt:
    posted = {**POSTED, "scores": {"positive": 0.55, "negative": 0.45}}
    return receipt(document(*RULES), prediction(**posted), now=now)


def unrouted() -> Receipt:
    return receipt(None, prediction(**POSTED))


RECEIPTS = [
    pytest.param(audited, id="audited, key known"),
    pytest.param(lambda: audited(THAT_DAY), id="audited, key not shown yet"),
    pytest.param(reviewed, id="reviewed"),
    pytest.param(drifted, id="reviewed because of drift"),
    pytest.param(unrouted, id="without a policy"),
]


def content(of: Receipt) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(served(of))
    return found


def check(changed: dict[str, Any], *, sealed: bool = False) -> Verified:
    """Verify; `sealed` gives it the digest that fits what it says now."""
    if sealed:
        changed = {**changed, "digest": digest_of_receipt(changed)}
    return verify(json.dumps(changed).encode())


@pytest.mark.parametrize("make", RECEIPTS)
def test_a_receipt_as_it_was_served_holds(make: Callable[[], Receipt]) -> None:
    found = verify(served(make()))

    assert (found.valid, found.decision, found.differences) == (True, str(ID), [])
    assert found.sentences()[0].startswith("The receipt holds")
    assert f"/v1/decisions/{ID}/receipt" in found.sentences()[-1]


def test_a_receipt_is_the_same_to_any_json_library() -> None:
    made = content(reviewed())

    for text in (
        json.dumps(made, indent=2, ensure_ascii=False),
        json.dumps(dict(reversed(made.items())), sort_keys=True),
        # 1 and 1.0 are one number
        json.dumps(made).replace('"inclusion_probability": 1.0', '"inclusion_probability": 1'),
    ):
        assert verify(text.encode()).valid


@pytest.mark.parametrize("make", RECEIPTS)
def test_whatever_leaf_is_changed_it_is_found(make: Callable[[], Receipt]) -> None:
    made = content(make())
    leaves = list(leaves_of(made))
    # the walk is a walk: the leaves of the text, the trace, the policy and the key are among them
    assert {path[0] for path in leaves} >= {"format", "decision", "prediction", "draw", "digest"}

    unseen = [
        path for path in leaves for change in CHANGES if check(changed(made, path, change)).valid
    ]

    assert unseen == []


@pytest.mark.parametrize(
    ("make", "unseen"),
    [
        # without its key a receipt says that its draws are unchecked
        pytest.param(audited, {("draw", "key")}, id="audited, key known"),
        # the draws are taken as recorded, until the key comes
        pytest.param(
            lambda: audited(THAT_DAY),
            {
                ("decision", "id"),
                ("decision", "audit_draw"),
                ("decision", "observed", 3),
                ("draw", "key_sha256"),
            },
            id="audited, key not shown yet",
        ),
        pytest.param(reviewed, {("draw", "key")}, id="reviewed, with a draw in its trace"),
        # a receipt states what monitors and detectors said then, and cannot prove it
        pytest.param(
            drifted,
            {
                ("draw", "key"),
                ("monitors", 0, "evaluation"),
                ("unfamiliar", "p"),
                ("unfamiliar", "score"),
                ("unfamiliar", "detector"),
            },
            id="reviewed because of drift",
        ),
        pytest.param(unrouted, {("draw", "key"), ("decision", "id")}, id="without a policy"),
    ],
)
def test_who_computes_the_digest_anew_is_found_by_what_follows_from_the_rest(
    make: Callable[[], Receipt], unseen: set[Path]
) -> None:
    made = content(make())

    found = {
        path
        for path in leaves_of(made)
        for change in CHANGES
        if path != ("digest",) and check(changed(made, path, change), sealed=True).valid
    }

    # when it was decided follows from nothing; only the digest speaks of it
    assert found == unseen | {("decision", "decided_at")}


@pytest.mark.parametrize("make", RECEIPTS)
def test_a_field_that_is_taken_away_or_added_is_found(make: Callable[[], Receipt]) -> None:
    made = content(make())
    objects = [path for path, value in nodes_of(made) if isinstance(value, dict)]

    for path in objects:
        for name in at(made, path):
            less = copy.deepcopy(made)
            del at(less, path)[name]
            assert not check(less).valid, (*path, name)
        more = copy.deepcopy(made)
        at(more, path)["note"] = "n"
        assert not check(more).valid, path


def test_fields_that_no_receipt_has_are_refused_whatever_its_digest() -> None:
    made = content(reviewed())

    for path in ((), ("decision",), ("policy",), ("prediction",), ("draw",)):
        more = copy.deepcopy(made)
        at(more, path)["note"] = "n"
        assert not check(more, sealed=True).valid, path


def test_the_key_of_a_day_is_shown_once_the_day_is_over() -> None:
    before, after = audited(THAT_DAY).draw, audited(NEXT_DAY).draw

    assert (before.key, after.key) == (None, KEY.hex())
    assert before.available_at == after.available_at == NEXT_DAY
    # the first fixes the key that the second shows
    assert before.key_sha256 == after.key_sha256 == hashlib.sha256(KEY).hexdigest()


def test_without_the_key_what_follows_from_the_draws_is_checked() -> None:
    made = content(audited(THAT_DAY))

    draw = copy.deepcopy(made)
    draw["policy"]["document"]["audit"]["probability"] = 0.5
    sample = copy.deepcopy(made)
    sample["decision"]["states"][3] = "fired"

    found = check(made)
    assert found.valid
    (note,) = found.notes
    assert note.startswith("Its draws are taken as recorded; a receipt made from 2025-05-18T00:00:")
    assert "rules.some.state" in fields(check(sample, sealed=True))
    assert "audit_probability" in fields(check(draw, sealed=True))


@pytest.mark.parametrize("draw", [None, "x", 2.0, -1.0])
def test_a_sample_whose_draw_is_no_draw_is_found_without_the_key(draw: Any) -> None:
    forged = content(audited(THAT_DAY))
    forged["decision"]["observed"][3] = draw

    assert any(field.startswith("rules.some") for field in fields(check(forged, sealed=True)))


def test_a_rule_that_shows_no_draw_is_taken_at_its_word_until_the_key_comes() -> None:
    by = document(rule(activation=AMAZON))
    known = content(receipt(by, prediction()))
    unknown = content(receipt(by, prediction(), now=THAT_DAY))
    other = {"fired": "passed", "passed": "fired"}[known["decision"]["states"][0]]

    for made in (known, unknown):
        assert check(made).valid
        made["decision"]["states"][0] = other

    assert "rules.r.state" in fields(check(known, sealed=True))
    # what was decided does not follow from that state, so even then it does not pass
    assert "rules.r.state" not in fields(check(unknown, sealed=True))
    assert "route" in fields(check(unknown, sealed=True))


def test_another_key_is_found_by_its_draw() -> None:
    made = content(audited())

    made["draw"]["key"] = "00" * 32
    made["draw"]["key_sha256"] = hashlib.sha256(bytes(32)).hexdigest()

    assert fields(check(made, sealed=True)) == ["rules.some.observed", "audit_draw"]


def test_the_day_is_that_of_the_id() -> None:
    made = receipt(document(), prediction())
    late = uuid.UUID(int=ID.int + (86_400_000 << 80))

    found = verify(served(replace(made, decision=replace(made.decision, id=late))))

    assert {"draw.day", "draw.available_at"} <= set(fields(found))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        pytest.param(b"", "truncated", id="nothing"),
        pytest.param(b"receipt", "malformed", id="no JSON"),
        pytest.param(b"[]", "Expected `object`", id="no object"),
        pytest.param(b"{}", "missing required field `format`", id="no receipt"),
        pytest.param(b'{"format": "overrule-receipt/9"}', "this release reads", id="a later format"),
        pytest.param(b'{"format": "overrule-receipt/1"}', "missing required", id="an empty one"),
        pytest.param(b'{"format": "\xff"}', "utf-8", id="no Unicode"),
        pytest.param(b'{"a":' * 100_000, "recursion", id="nested without end"),
    ],
)  # fmt: skip
def test_what_is_no_receipt_does_not_hold(raw: bytes, why: str) -> None:
    found = verify(raw)

    assert (found.valid, found.decision) == (False, None)
    assert why.lower() in found.notes[0].lower()


def test_a_field_that_stands_twice_is_refused() -> None:
    text = served(reviewed()).decode()

    twice = text.replace('"route":"review"', '"route":"accept","route":"review"')

    assert verify(twice.encode()).notes == [
        "It cannot be read as a receipt: one of its fields stands there twice."
    ]


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        pytest.param(("decision", "id"), str.upper, id="an id in capitals"),
        pytest.param(("prediction", "embedding"), lambda text: text[:-2] + "B=", id="base64 with loose bits"),
        pytest.param(("decision", "decided_at"), lambda text: text.replace("Z", "+00:00"), id="a time with an offset"),
    ],
)  # fmt: skip
def test_a_second_spelling_of_a_value_is_refused(path: Path, spelled: Callable[[str], str]) -> None:
    made = content(reviewed())

    other = changed(made, path, spelled)

    assert other != made
    assert "spelled as no receipt" in check(other, sealed=True).notes[0]


@pytest.mark.parametrize("day", ["9999-12-31", "10889-08-02"])
def test_an_id_past_the_end_of_time_is_refused(day: str) -> None:
    made = content(reviewed())
    milliseconds = {"9999-12-31": 253_402_214_400_000, "10889-08-02": 2**48 - 1}[day]
    made["decision"]["id"] = str(uuid.UUID(int=milliseconds << 80))

    assert not check(made, sealed=True).valid


def test_random_decisions_have_receipts_that_hold_with_the_key_and_without() -> None:
    made = Random(82)
    wrong = []

    for number in range(60):
        by, posted = made.document(), prediction(**bare(made.prediction("req-1")))
        decision_id = uuid.UUID(int=ID.int + number)
        seen = made.monitors(compile_policy(by, "sentiment", 3))
        odd = made.unfamiliar()
        for now in (THAT_DAY, NEXT_DAY):
            found = verify(
                served(receipt(by, posted, decision_id, now, monitors=seen, unfamiliar=odd))
            )
            wrong += [] if found.valid else [(number, now, found.sentences())]

    assert wrong == []


def test_verifying_needs_no_part_of_the_service_beyond_the_core() -> None:
    script = (
        "import sys\n"
        "from app.core.routing.verify import verify\n"
        "assert verify(sys.stdin.buffer.read()).valid\n"
        "tops = {'asyncpg', 'fastapi', 'httpx', 'sqlalchemy'}\n"
        "print([m for m in sys.modules if m in tops or m.startswith(('app.store', 'app.flows'))])\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], input=served(reviewed()), capture_output=True, check=True
    )

    assert ran.stdout.decode().strip() == "[]"


def test_the_states_of_a_receipt_are_those_of_a_trace() -> None:
    made = content(reviewed())

    for state in STATE_NAMES:
        made["decision"]["states"][0] = state
        assert check(made).decision == str(ID)
    made["decision"]["states"][0] = "lost"
    assert check(made).decision is None
    assert made["format"] == FORMAT


def fields(found: Verified) -> list[str]:
    return [difference.field for difference in found.differences]


def bare(posted: dict[str, Any]) -> dict[str, Any]:
    return {name: posted[name] for name in posted if name not in {"request_key", "model_version"}}


def nodes_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for step, child in children:
        yield from nodes_of(child, (*path, step))


def leaves_of(value: Any) -> Iterator[Path]:
    for path, node in nodes_of(value):
        if not isinstance(node, dict | list):
            yield path


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def changed(value: dict[str, Any], path: Path, change: Callable[[Any], Any]) -> dict[str, Any]:
    """With another value at one place."""
    other = copy.deepcopy(value)
    at(other, path[:-1])[path[-1]] = change(at(value, path))
    return other


def slightly(value: Any) -> Any:
    """Another value of the same kind, as near as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1e-9 if value < 1 else value - 1e-9
    if value is None:
        return "a" * 64
    if value.endswith("Z") and value[:4].isdigit():
        moment = datetime.fromisoformat(value) + timedelta(microseconds=1)
        return moment.isoformat().replace("+00:00", "Z")
    last = max((n for n, c in enumerate(value) if c.isalnum()), default=None)
    if last is None:
        return value + "a"
    other = (
        str((int(value[last]) + 1) % 10) if value[last].isdecimal() else other_letter(value[last])
    )
    return value[:last] + other + value[last + 1 :]


def other_letter(letter: str) -> str:
    return "b" if letter == "a" else "a"


# the absence of a value too, and one of another type
CHANGES = (slightly, lambda value: None if value is not None else 0, lambda value: [value])
