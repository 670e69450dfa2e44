"""Everything that can be refused, as facts.

The edge alone turns a family into an HTTP status, in one table (`app/api/problems.py`).

    OverruleError
    ├── Unauthenticated          who is calling is not known
    ├── Forbidden                known, but not allowed
    ├── NotFound                 no such thing in this project
    ├── Invalid                  the request says something that cannot be taken
    ├── TooLarge                 a limit of size was passed
    ├── UnsupportedMediaType     the body is of a kind that is not read here
    ├── Conflict                 the request does not fit the present state
    └── Unavailable              nothing is wrong with the request; send it again
"""

from collections.abc import Sequence

Loc = tuple[str | int, ...]


class OverruleError(Exception):
    """The root: a stable code, a sentence for people, and the places it speaks of."""

    code = "error"

    def __init__(self, detail: str, *, loc: Loc = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.places: list[tuple[Loc, str]] = [(loc, detail)] if loc else []


class Unauthenticated(OverruleError):
    """No key, an unknown, an expired or a revoked one."""

    code = "unauthenticated"


class Forbidden(OverruleError):
    """The key is good, but does not carry the scope that this call needs."""

    code = "forbidden"


class NotFound(OverruleError):
    """Nothing of that name or id in the key's project."""

    code = "not_found"


class Invalid(OverruleError):
    """The request was read and cannot be taken; `places` name the fields."""

    code = "invalid"

    @classmethod
    def of(cls, places: Sequence[tuple[Loc, str]]) -> "Invalid":
        """One error that names every place found wrong.

        Args:
            places: (loc, sentence) pairs, at least one.
        """
        error = cls(places[0][1] if len(places) == 1 else f"{len(places)} fields are wrong.")
        error.places = list(places)
        return error


class Malformed(Invalid):
    """The body is not the JSON (or YAML) that it should be."""

    code = "malformed"


class Unstorable(Invalid):
    """PostgreSQL cannot keep what was sent."""

    code = "unstorable"


class BlindNeedsLabel(Invalid):
    """`confirm` on a blind item: the reviewer cannot confirm what is not shown."""

    code = "blind_needs_label"


class LabelRequired(Invalid):
    """`correct` without the label that it should carry."""

    code = "label_required"


class TooLarge(OverruleError):
    """A body, a batch or a line past its limit."""

    code = "too_large"


class UnsupportedMediaType(OverruleError):
    """The body is of a kind, or encoded in a way, that is not read here."""

    code = "unsupported_media_type"


class Conflict(OverruleError):
    """The request does not fit the present state."""

    code = "conflict"


class RequestKeyConflict(Conflict):
    """The request key is already there with other content; nothing was changed."""

    code = "request_key_conflict"


class VerdictConflict(Conflict):
    """This lease already carried another verdict; nothing was changed."""

    code = "verdict_conflict"


class LeaseLost(Conflict):
    """The lease ran out, was released or belongs to somebody else by now."""

    code = "lease_lost"


class StateConflict(Conflict):
    """What was asked cannot happen in the state that the thing is in."""

    code = "state_conflict"


class NoEarlierVersion(Conflict):
    """There is no earlier version of the policy to roll back to; nothing was changed."""

    code = "no_earlier_version"


class ExtensionsUsedUp(Conflict):
    """The lease was extended as often as its queue allows."""

    code = "extensions_used_up"


class NameTaken(Conflict):
    """Something of that name is already there."""

    code = "name_taken"


class MonitorFixed(Conflict):
    """What a monitor watches, and of which model, cannot change; nothing was changed."""

    code = "monitor_fixed"


class TimingFixed(Conflict):
    """All monitors of a model share their buckets and windows; nothing was changed."""

    code = "timing_fixed"


class MonitorsFull(Conflict):
    """The model has as many monitors as it may have."""

    code = "monitors_full"


class MonitorInUse(Conflict):
    """A policy that is in use relies on the monitor; nothing was changed."""

    code = "monitor_in_use"


class NothingToAccept(Conflict):
    """There is no window from which a new reference could be made; nothing was changed."""

    code = "nothing_to_accept"


class Unavailable(OverruleError):
    """Nothing is wrong with the request and nothing was half-done: send it again."""

    code = "unavailable"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL cannot be reached, or no connection is free."""

    code = "database_unavailable"


class Overloaded(Unavailable):
    """More is waiting to be committed than the service promises to hold."""

    code = "overloaded"


class NotReady(Unavailable):
    """The process lives, but cannot take requests yet; `places` say what is missing."""

    code = "not_ready"

    @classmethod
    def of(cls, missing: Sequence[tuple[str, str]]) -> "NotReady":
        """One error that names everything missing.

        Args:
            missing: (part, sentence) pairs, at least one.
        """
        error = cls(" ".join(sentence for _, sentence in missing))
        error.places = [((part,), sentence) for part, sentence in missing]
        return error
