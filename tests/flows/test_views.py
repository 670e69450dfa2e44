"""The read cache: bounded staleness, one load at a time, and nothing kept that was forgotten."""

import asyncio
from types import SimpleNamespace

import pytest

from app.core.errors import NotFound
from app.core.routing.policy import Policy
from app.flows import views
from app.flows.context import Context
from app.flows.views import Fresh
from app.store.ids import new_id
from app.store.policies import PolicyVersion
from tests.scenario import Scenario


class Source:
    """Counts its loads; a load can be held up."""

    def __init__(self) -> None:
        self.loads = 0
        self.started = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()
        self.fails = False

    async def load(self, key: str) -> str:
        self.loads += 1
        value = f"{key}{self.loads}"
        self.started.set()
        await self.held.wait()
        if self.fails:
            raise LookupError(key)
        return value


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock that the cache looks at: its one element."""
    now = [100.0]
    monkeypatch.setattr(views, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


async def test_value_is_loaded_anew_exactly_when_it_is_too_old(clock: list[float]) -> None:
    source = Source()
    fresh = Fresh(source.load, 0.5)

    seen = []
    for after_s in (0, 0.499, 0.5, 0.999, 1.0):
        clock[0] = 100 + after_s
        seen.append(await fresh.get("a"))

    assert seen == ["a1", "a1", "a2", "a2", "a3"]


async def test_age_counts_from_before_the_load(clock: list[float]) -> None:
    source = Source()
    fresh = Fresh(source.load, 0.5)
    source.held.clear()
    first = asyncio.create_task(fresh.get("a"))
    await source.started.wait()
    clock[0] += 0.4
    source.held.set()
    await first

    clock[0] += 0.2

    assert await fresh.get("a") == "a2"


async def test_many_at_once_are_one_load_per_key() -> None:
    source = Source()
    fresh = Fresh(source.load, 10)
    source.held.clear()
    waiting = [asyncio.create_task(fresh.get(key)) for key in "ab" * 20]
    await source.started.wait()
    source.held.set()

    seen = await asyncio.gather(*waiting)

    assert source.loads == 2
    assert set(seen) == {"a1", "b2"}


async def test_what_is_forgotten_during_its_load_is_not_kept() -> None:
    source = Source()
    fresh = Fresh(source.load, 10)
    early_gate = source.held
    early_gate.clear()
    early = asyncio.create_task(fresh.get("a"))
    await source.started.wait()

    fresh.forget()
    source.held = asyncio.Event()
    source.held.set()
    late = await fresh.get("a")
    early_gate.set()

    assert (await early, late) == ("a1", "a2")
    assert await fresh.get("a") == "a2"


async def test_client_that_hangs_up_does_not_end_the_load_of_others() -> None:
    source = Source()
    fresh = Fresh(source.load, 10)
    source.held.clear()
    hung_up, other = asyncio.create_task(fresh.get("a")), asyncio.create_task(fresh.get("a"))
    await source.started.wait()

    hung_up.cancel()
    await asyncio.gather(hung_up, return_exceptions=True)
    source.held.set()

    assert await other == "a1"
    assert source.loads == 1


async def test_load_that_fails_is_tried_again_by_the_next() -> None:
    source = Source()
    fresh = Fresh(source.load, 10)
    source.fails = True
    with pytest.raises(LookupError):
        await fresh.get("a")

    source.fails = False

    assert await fresh.get("a") == "a2"


async def test_number_of_entries_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "ENTRIES_MAX", 3)
    source = Source()
    fresh = Fresh(source.load, 10)

    for key in "abcd":
        await fresh.get(key)

    assert await fresh.get("d") == "d4"
    assert await fresh.get("a") == "a5"


async def test_compiled_policies_are_bounded_and_unknown_ones_not_found(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "POLICIES_MAX", 1)
    kept = views.Views(ctx.db, fresh_s=0)
    first = await scenario.policy(description="first")
    second = await scenario.policy(description="second")

    one = await kept.policy(scenario.project, first.id)
    assert await kept.policy(scenario.project, first.id) is one
    await kept.policy(scenario.project, second.id)

    assert await kept.policy(scenario.project, first.id) is not one
    with pytest.raises(NotFound):
        await kept.policy(scenario.project, new_id())


async def test_a_version_is_compiled_once_for_all_who_ask_at_the_same_time(
    ctx: Context, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = await scenario.policy()
    compiled = []
    compile_version = views._compiled

    def counting(stored: PolicyVersion) -> Policy | None:
        compiled.append(stored.version)
        return compile_version(stored)

    monkeypatch.setattr(views, "_compiled", counting)

    policies = await asyncio.gather(
        *(ctx.views.policy(scenario.project, version.id) for _ in range(20))
    )

    assert compiled == [1]
    assert {policy.reference for policy in policies if policy is not None} == {"sentiment@1"}
