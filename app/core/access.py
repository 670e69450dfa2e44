"""Keys: what a caller may do, and how a key's text is made and checked."""

import base64
import hashlib
import hmac
import re
import uuid
from dataclasses import dataclass
from enum import StrEnum

from app.core.errors import Invalid, Loc

KEY_PREFIX = "ovr"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Scope(StrEnum):
    """What a key allows. `admin` belongs to no project and manages projects and keys."""

    PREDICT = "predict"
    REVIEW = "review"
    READ = "read"
    MANAGE = "manage"
    ADMIN = "admin"


PROJECT_SCOPES = (Scope.PREDICT, Scope.REVIEW, Scope.READ, Scope.MANAGE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: a good key.

    `project_id` is None for an admin key only.
    """

    key_id: uuid.UUID
    project_id: uuid.UUID | None
    scopes: frozenset[Scope]

    @property
    def project(self) -> uuid.UUID:
        """The project of a project key."""
        assert self.project_id is not None, "a route of a project was reached with an admin key"
        return self.project_id

    @property
    def name(self) -> str:
        """The caller as the change log names it."""
        return f"key:{self.key_id}"


def check_name(name: str, loc: Loc) -> None:
    """Refuse a name that paths, URLs and metric labels could not all carry.

    Raises:
        Invalid: with `loc` as its place.
    """
    if _NAME.fullmatch(name) is None:
        raise Invalid(
            f"{name[:128]!r} is no name: 1 to 128 letters, digits, dots, underscores and hyphens, "
            "the first a letter or digit.",
            loc=loc,
        )


def key_text(key_id: uuid.UUID, secret: bytes) -> str:
    """`ovr_<id>_<secret>`: the id finds the row, the secret is checked against its hash."""
    return f"{KEY_PREFIX}_{key_id.hex}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def parse_key(text: str) -> tuple[uuid.UUID, bytes] | None:
    """The id and the secret of a key's text; None when it is no key at all."""
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != KEY_PREFIX:  # noqa: PLR2004
        return None
    try:
        return uuid.UUID(hex=parts[1]), base64.b64decode(
            parts[2] + "=", altchars=b"-_", validate=True
        )
    except ValueError:
        return None


def secret_digest(secret: bytes) -> bytes:
    """What is stored of a secret.

    A plain SHA-256 is enough: the secret is 256 random bits, so there is nothing to guess and
    nothing that a slow hash would protect.
    """
    return hashlib.sha256(secret).digest()


def secret_matches(secret: bytes, digest: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(secret_digest(secret), digest)
