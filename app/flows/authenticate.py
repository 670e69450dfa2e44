"""From the text of a key to the caller, and whether it may."""

import time

from app.core.access import Caller, Scope, parse_key, secret_matches
from app.core.errors import Forbidden, Unauthenticated
from app.flows.context import Context

BAD_KEY = "The key is unknown, expired or revoked."


async def authenticate(ctx: Context, authorization: str | None, scope: Scope) -> Caller:
    """The caller of a request.

    Args:
        ctx: the service.
        authorization: the request's Authorization header.
        scope: what the call needs.

    Raises:
        Unauthenticated: no key, or none that is good now.
        Forbidden: a good key without that scope.
    """
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Send the key as `Authorization: Bearer ovr_…`.")
    parsed = parse_key(text.strip())
    if parsed is None:
        raise Unauthenticated(BAD_KEY)
    key_id, secret = parsed
    read_at, stored = await ctx.views.keys.get(key_id)
    if stored is None or not secret_matches(secret, stored.secret_sha256):
        raise Unauthenticated(BAD_KEY)
    if stored.live_s is not None and time.monotonic() - read_at >= stored.live_s:
        raise Unauthenticated(BAD_KEY)
    if scope not in stored.scopes:
        raise Forbidden(f"This call needs a key with the scope {scope.value!r}.")
    return Caller(key_id, stored.project_id, stored.scopes)
