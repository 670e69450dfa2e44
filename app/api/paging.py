"""Keyset pagination: a cursor is the list's name and the last id of the page before."""

import base64
import uuid
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

from app.core.errors import Invalid

T = TypeVar("T")
PAGE_ROWS = 50
PAGE_ROWS_MAX = 200

Limit = Annotated[int, Query(ge=1, le=PAGE_ROWS_MAX, description="Rows of the page at most.")]
Cursor = Annotated[
    str | None,
    Query(max_length=64, description="`next_cursor` of the page before; none for the first page."),
]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None = Field(description="Null on the last page.")


def cursor_of(of_list: str, id_: uuid.UUID) -> str:
    """The cursor that goes on after this id, in this list and in no other."""
    return base64.urlsafe_b64encode(of_list.encode() + id_.bytes).decode().rstrip("=")


def next_cursor(of_list: str, ids: Sequence[uuid.UUID], limit: int) -> str | None:
    """The cursor behind a page of these ids: a page that is not full is the last one."""
    return cursor_of(of_list, ids[-1]) if len(ids) == limit else None


def after(of_list: str, cursor: str | None) -> uuid.UUID | None:
    """The id that a cursor goes on after.

    Raises:
        Invalid: it is none of ours, or one of another list.
    """
    if cursor is None:
        return None
    try:
        padding = "=" * (-len(cursor) % 4)
        raw = base64.b64decode(cursor + padding, altchars=b"-_", validate=True)
        # without its own list's name too much is left for an id
        return uuid.UUID(bytes=raw.removeprefix(of_list.encode()))
    except ValueError:
        raise Invalid("Not a cursor of this list.", loc=("query", "cursor")) from None
