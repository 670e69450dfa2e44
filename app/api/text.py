"""Strings and times as PostgreSQL can keep them: the types of wire models."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints

from app.core.errors import Invalid

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain lone surrogates")
    return text


def _rfc_3339(written: Any) -> Any:
    # a year alone, or a plain number, would be taken for seconds since 1970
    if isinstance(written, datetime) or (
        isinstance(written, str) and _RFC_3339.fullmatch(written) is not None
    ):
        return written
    hint = "; in an address write + as %2B" if " " in str(written)[-6:] else ""
    raise ValueError(f"must be a time with its offset, as 2026-11-23T10:00:00Z (RFC 3339){hint}")


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
Time = Annotated[AwareDatetime, BeforeValidator(_rfc_3339)]
Moment = Annotated[Time, AfterValidator(_in_utc)]


def check_range(since: datetime | None, until: datetime | None) -> None:
    """Refuse a range that nothing can lie in.

    Raises:
        Invalid: it ends before it begins.
    """
    if since is not None and until is not None and since >= until:
        raise Invalid("`from` must be before `to`.", loc=("query", "from"))
