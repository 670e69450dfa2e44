"""Ids, times and chance that this process mints: the one file that asks for them.

What replicas compare with each other (leases, due times) is not taken from here but from the
database's clock.
"""

import secrets
import uuid
from datetime import UTC, datetime, timedelta

import uuid_utils
from asyncpg.pgproto import pgproto


def new_id() -> uuid.UUID:
    """A UUIDv7: ids sort by the time at which they were minted.

    It is the driver's own kind of `uuid.UUID`, as ids read back are: made four times as fast.
    """
    id_: uuid.UUID = pgproto.UUID(uuid_utils.uuid7().bytes)
    return id_


def new_secret() -> bytes:
    """256 random bits."""
    return secrets.token_bytes(32)


def new_request_id() -> str:
    """128 random bits as hexadecimal digits: names a request in answers and logs."""
    return secrets.token_hex(16)


def utc_now() -> datetime:
    """This process's clock, in UTC."""
    return datetime.now(UTC)


def time_of(id_: uuid.UUID) -> datetime:
    """When a UUIDv7 was minted, to the millisecond."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=id_.int >> 80)


def lowest_id_at(moment: datetime) -> uuid.UUID:
    """The smallest id that can be minted at `moment`: the bound of a partition or of a range.

    Of a moment before 1970 it is the smallest of all.
    """
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return uuid.UUID(int=milliseconds << 80)
