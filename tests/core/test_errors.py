"""Errors carry every place that they speak of."""

from app.core.errors import Invalid, NotFound, NotReady


def test_one_place_is_the_detail_and_several_are_counted() -> None:
    one = Invalid.of([(("label",), "Is required.")])
    two = Invalid.of([(("label",), "Is required."), (("risk",), "Too high.")])

    assert one.detail == "Is required."
    assert two.detail == "2 fields are wrong."
    assert two.places == [(("label",), "Is required."), (("risk",), "Too high.")]


def test_an_error_may_name_one_place_or_none() -> None:
    assert NotFound("No queue.").places == []
    assert NotFound("No queue.", loc=("queue",)).places == [(("queue",), "No queue.")]


def test_what_is_not_ready_is_said_part_by_part() -> None:
    error = NotReady.of([("database", "It cannot be reached."), ("schema", "It is old.")])

    assert error.detail == "It cannot be reached. It is old."
    assert error.places == [
        (("database",), "It cannot be reached."),
        (("schema",), "It is old."),
    ]
