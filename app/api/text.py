"""Strings and times as PostgreSQL can keep them: the types of wire models."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, StringConstraints


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain lone surrogates")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999 of UTC") from None


Storable = Annotated[str, AfterValidator(_storable)]
# names appear in paths, URLs and metric labels, so they are kept to what all of these carry
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
# the caller's own ids are kept verbatim
OwnId = Annotated[Storable, StringConstraints(min_length=1, max_length=256)]
LabelText = Annotated[Storable, StringConstraints(min_length=1, max_length=256)]
Prose = Annotated[Storable, StringConstraints(max_length=10_000)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
