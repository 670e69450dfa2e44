"""What a replica keeps of the database in memory, and for how long.

Keys, active policies and queue settings are read with every prediction and change rarely. Each
entry is reloaded when it is older than `cache_s` (counted from before its query began, so the
bound is honest); a change made through this replica is seen at once (`forget`). Everything here
can be thrown away at any moment.
"""

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from app.core.errors import Invalid, NotFound
from app.core.routing.policy import Policy, compile_policy
from app.store import keys as key_store
from app.store import policies as policy_store
from app.store.engine import Database

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# keys of other projects, probes with made-up ids: the memory of a replica stays bounded
ENTRIES_MAX = 10_000
POLICIES_MAX = 1_000


class Fresh(Generic[K, V]):
    """Values by key, never older than `fresh_s` seconds; one load at a time per key."""

    def __init__(self, load: Callable[[K], Awaitable[V]], fresh_s: float) -> None:
        self._load = load
        self._fresh_s = fresh_s
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """The value, loaded if it is not there or too old."""
        known = self._values.get(key)
        if known is not None and time.monotonic() - known[0] < self._fresh_s:
            return known[1]
        task = self._loading.get(key)
        if task is None:
            task = asyncio.create_task(self._reload(key))
            self._loading[key] = task
        # shielded: a client that hangs up must not cancel the load that others wait for
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Load everything anew; a load already under way is not kept either."""
        self._values.clear()
        self._loading.clear()

    async def _reload(self, key: K) -> V:
        this = asyncio.current_task()
        began = time.monotonic()
        try:
            value = await self._load(key)
            if self._loading.get(key) is this:
                self._values[key] = (began, value)
                self._values.move_to_end(key)
                if len(self._values) > ENTRIES_MAX:
                    self._values.popitem(last=False)
            return value
        finally:
            if self._loading.get(key) is this:
                del self._loading[key]


class Views:
    """The read cache of one replica."""

    def __init__(self, db: Database, fresh_s: float) -> None:
        self._db = db
        self._policies: OrderedDict[uuid.UUID, Policy | None] = OrderedDict()
        self._compiling: dict[uuid.UUID, asyncio.Task[Policy | None]] = {}
        self.keys: Fresh[uuid.UUID, tuple[float, key_store.StoredKey | None]] = Fresh(
            self._load_key, fresh_s
        )
        self.projects: Fresh[uuid.UUID, policy_store.RoutingView] = Fresh(
            self._load_project, fresh_s
        )

    def forget(self) -> None:
        """After a change made through this replica."""
        self.keys.forget()
        self.projects.forget()

    async def policy(self, project_id: uuid.UUID, policy_id: uuid.UUID) -> Policy | None:
        """A compiled policy version; versions are immutable, so it is never stale."""
        if policy_id in self._policies:
            return self._policies[policy_id]
        task = self._compiling.get(policy_id)
        if task is None:
            # once for all requests that an activation finds under way
            task = asyncio.create_task(self._compile(project_id, policy_id))
            self._compiling[policy_id] = task
        return await asyncio.shield(task)

    async def _compile(self, project_id: uuid.UUID, policy_id: uuid.UUID) -> Policy | None:
        try:
            async with self._db.read() as tx:
                version = await policy_store.version_by_id(tx, project_id, policy_id)
            if version is None:
                raise NotFound(f"No policy version {policy_id}.")
            # beside the event loop: the first expression loads the library
            compiled = await asyncio.to_thread(_compiled, version)
            self._policies[policy_id] = compiled
            if len(self._policies) > POLICIES_MAX:
                self._policies.popitem(last=False)
            return compiled
        finally:
            del self._compiling[policy_id]

    async def _load_key(self, key_id: uuid.UUID) -> tuple[float, key_store.StoredKey | None]:
        began = time.monotonic()
        async with self._db.read() as tx:
            return began, await key_store.stored_key(tx, key_id)

    async def _load_project(self, project_id: uuid.UUID) -> policy_store.RoutingView:
        async with self._db.read() as tx:
            return await policy_store.routing_view(tx, project_id)


def _compiled(version: policy_store.PolicyVersion) -> Policy | None:
    """The version ready to decide; None when this release refuses what an earlier one took.

    Then everything of its model goes to review, as without a policy: a refused document must not
    become a refused prediction.
    """
    try:
        return compile_policy(version.document, version.name, version.version)
    except Invalid as error:
        log.error("policy %s@%s: %s", version.name, version.version, error.places)  # noqa: TRY400
        return None
