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
from typing import TYPE_CHECKING, Generic, TypeVar

from app.core.drift.watching import Watch, WatchedReference
from app.core.errors import Invalid, NotFound
from app.core.routing.policy import Policy, compile_policy
from app.store import detectors as detector_store
from app.store import keys as key_store
from app.store import policies as policy_store
from app.store.engine import Database
from app.store.references import references_by_id
from app.store.watched_models import WatchedModel

if TYPE_CHECKING:
    from app.core.drift.detector import Detector

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# keys of other projects, probes with made-up ids: the memory of a replica stays bounded
ENTRIES_MAX = 10_000
POLICIES_MAX = 1_000
WATCHES_MAX = 1_000
# some MB each
DETECTORS_MAX = 50


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


class Lasting(Generic[K, V]):
    """Values that never change, loaded once for all that ask; the oldest go where they are many."""

    def __init__(self, load: Callable[[K], Awaitable[V]], entries_max: int) -> None:
        self._load = load
        self._entries_max = entries_max
        self._values: OrderedDict[K, V] = OrderedDict()
        self._loading: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """The value, loaded if it is not there."""
        if key in self._values:
            return self._values[key]
        task = self._loading.get(key)
        if task is None:
            # once for all requests that a change finds under way
            task = asyncio.create_task(self._keep(key))
            self._loading[key] = task
        return await asyncio.shield(task)

    def clear(self) -> None:
        """Load everything anew."""
        self._values.clear()

    async def _keep(self, key: K) -> V:
        try:
            value = await self._load(key)
            self._values[key] = value
            if len(self._values) > self._entries_max:
                self._values.popitem(last=False)
            return value
        finally:
            del self._loading[key]


class Views:
    """The read cache of one replica."""

    def __init__(self, db: Database, fresh_s: float) -> None:
        self._db = db
        self._policies: Lasting[tuple[uuid.UUID, uuid.UUID], Policy | None] = Lasting(
            self._compile, POLICIES_MAX
        )
        self._watches: Lasting[tuple[uuid.UUID, WatchedModel], Watch] = Lasting(
            self._load_watch, WATCHES_MAX
        )
        self._detectors: Lasting[tuple[uuid.UUID, uuid.UUID], Detector | None] = Lasting(
            self._load_detector, DETECTORS_MAX
        )
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
        return await self._policies.get((project_id, policy_id))

    async def watch(self, project_id: uuid.UUID, watched: WatchedModel) -> Watch:
        """What watches a model, ready to count; references are immutable, so it is never stale."""
        return await self._watches.get((project_id, watched))

    async def detector(self, project_id: uuid.UUID, detector_id: uuid.UUID) -> "Detector | None":
        """A fitted detector; it never changes. None when this release cannot read it."""
        return await self._detectors.get((project_id, detector_id))

    async def _compile(self, key: tuple[uuid.UUID, uuid.UUID]) -> Policy | None:
        project_id, policy_id = key
        async with self._db.read() as tx:
            version = await policy_store.version_by_id(tx, project_id, policy_id)
        if version is None:
            raise NotFound(f"No policy version {policy_id}.")
        # beside the event loop: the first expression loads the library
        return await asyncio.to_thread(_compiled, version)

    async def _load_watch(self, key: tuple[uuid.UUID, WatchedModel]) -> Watch:
        project_id, watched = key
        async with self._db.read() as tx:
            references = await references_by_id(tx, project_id, watched.references)
        return Watch(watched.timing, tuple(map(WatchedReference.of, references)))

    async def _load_detector(self, key: tuple[uuid.UUID, uuid.UUID]) -> "Detector | None":
        project_id, detector_id = key
        async with self._db.read() as tx:
            blob = await detector_store.fitted_blob(tx, project_id, detector_id)
        if blob is None:
            raise NotFound(f"No fitted detector {detector_id}.")
        # beside the event loop: the first one loads numpy
        return await asyncio.to_thread(_detector, blob, detector_id)

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


def _detector(blob: bytes, detector_id: uuid.UUID) -> "Detector | None":
    """The detector ready to judge; None when it was fitted by a release that writes another format.

    What it would say of a prediction is then missing, and what is missing goes to review.
    """
    from app.core.drift.detector import load  # noqa: PLC0415 - a slow import

    try:
        return load(blob, detector_id)
    except ValueError as error:
        log.error("detector %s: %s", detector_id, error)  # noqa: TRY400
        return None
