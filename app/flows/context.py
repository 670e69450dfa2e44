"""What a flow needs from the process it runs in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.flows.gather import Gatherer
from app.flows.queue_watch import QueueWatch
from app.flows.views import Views
from app.settings import Settings
from app.store.engine import Database


@dataclass(frozen=True, slots=True)
class Context:
    """One per process; tests make one whose database rolls back."""

    settings: Settings
    db: Database
    views: Views
    gatherer: Gatherer
    watch: QueueWatch

    @classmethod
    def over(cls, db: Database, settings: Settings) -> "Context":
        """The context of a process that uses this database."""
        return cls(
            settings, db, Views(db, settings.cache_s), Gatherer(db, settings), QueueWatch(db)
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Finish what was accepted before the block is left."""
        async with self.gatherer.draining(), self.watch.ending():
            yield
