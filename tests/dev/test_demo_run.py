"""The demo's story on a few made-up texts, against the application."""

import asyncio
import io
from collections.abc import Mapping, Sequence
from itertools import cycle, islice

import httpx
from rich.console import Console

from app.dev.demo import whatif
from app.dev.demo.cases import Case
from app.dev.demo.classifier import Scored
from app.dev.demo.report import DemoResult
from app.dev.demo.run import POLICY, measure, prepare_service, progress_on, stream
from app.dev.demo.service import Service
from app.dev.demo.tally import Streamed
from app.dev.demo.texts import Text
from app.flows import jobs
from app.flows.context import Context

SURE = {"negative": 0.05, "neutral": 0.05, "positive": 0.9}
TIED = {"negative": 0.05, "neutral": 0.45, "positive": 0.5}
UNSURE = {"negative": 0.23, "neutral": 0.24, "positive": 0.53}
UNFAMILIAR_SHARE = 0.9


def made_up_cases(domain: str, count: int) -> list[Case]:
    # Of every four texts one is accepted; the other three each meet another rule. All raters
    # agree, so whoever is asked gives the true label, which is positive for every second text.
    kinds = [(SURE, 0.0), (TIED, 0.0), (UNSURE, 0.0), (SURE, UNFAMILIAR_SHARE)]
    cases = []
    for number, (scores, unfamiliar) in enumerate(islice(cycle(kinds), count)):
        right = number % 8 < 4
        text = Text(f"{domain}/{number}", domain, "the same text", ((1,) if right else (-1,)) * 15)
        scored = Scored("positive", scores, {"oov_share": unfamiliar}, [0.1, 0.2])
        cases.append(Case(text, "positive" if right else "negative", scored))
    return cases


async def play(
    service: Service, cases: Mapping[str, Sequence[Case]], console: Console
) -> tuple[list[Streamed], DemoResult]:
    """The demo without its monitors, whose windows take real seconds."""
    await prepare_service(service)
    with progress_on(console) as progress:
        streamed = [await stream(service, *domain, progress) for domain in cases.items()]
        return streamed, await measure(service, streamed, progress)


async def test_every_review_and_audit_is_answered_and_the_figures_agree(
    client: httpx.AsyncClient,
) -> None:
    cases = {"tweets": made_up_cases("tweets", 80), "films": made_up_cases("films", 40)}

    _, found = await play(Service(client), cases, Console(file=io.StringIO()))

    tweets, films = found.domains
    assert (tweets.predictions, tweets.accepted, tweets.reviewed) == (80, 20, 60)
    assert (films.predictions, films.accepted, films.reviewed) == (40, 10, 30)
    assert found.verdicts == 90 + tweets.audited + films.audited
    assert tweets.accepted_error_true == 0.5
    assert tweets.reviewer_model_agreement == 0.5
    assert tweets.reviewer_panel_agreement == 1


async def test_the_curve_falls_and_rises_and_a_decision_that_would_change_is_explained(
    ctx: Context, client: httpx.AsyncClient
) -> None:
    service = Service(client)
    cases = {"tweets": [*made_up_cases("tweets", 40), *hesitant_cases(8)]}
    streamed, _ = await play(service, cases, Console(file=io.StringIO()))

    asked = asyncio.create_task(whatif.ask(service, POLICY, streamed))
    while not asked.done():
        await jobs.run_once(ctx)
        await asyncio.sleep(0)
    found = await asked

    shares = [point.review_share for point in found.points]
    assert shares == sorted(shares, key=lambda share: share or 0)
    assert (found.points[0].threshold, found.points[-1].threshold) == (0.5, 0.9)
    printed = whatif.explained(found)
    assert "confidence 0.58 is not below 0.55" in printed
    assert whatif.document_of(found)[0]["review_share"] == shares[0]


def hesitant_cases(count: int) -> list[Case]:
    """Accepted a little above the threshold, and wrong."""
    hesitant = {"negative": 0.21, "neutral": 0.21, "positive": 0.58}
    return [
        Case(
            Text(f"tweets/hesitant-{number}", "tweets", "the same text", (-1,) * 15),
            "negative",
            Scored("positive", hesitant, {"oov_share": 0.0}, [0.1, 0.2]),
        )
        for number in range(count)
    ]


async def test_the_estimate_speaks_of_the_audited_texts_of_its_own_domain(
    client: httpx.AsyncClient,
) -> None:
    right, wrong = made_up_cases("tweets", 4), made_up_cases("films", 8)[4:]
    cases = {
        "tweets": [_numbered(right[0], n) for n in range(200)],
        "films": [_numbered(wrong[0], n) for n in range(200)],
    }

    _, found = await play(Service(client), cases, Console(file=io.StringIO()))

    tweets, films = found.domains
    assert tweets.accepted_error_estimate.value == 0
    assert films.accepted_error_estimate.value == 1


def _numbered(case: Case, number: int) -> Case:
    text = case.text
    copy = Text(f"{text.domain}/{number}", text.domain, text.text, text.ratings)
    return Case(copy, case.truth, case.scored)


async def test_a_second_run_gets_the_first_decisions_and_finds_nothing_to_answer(
    client: httpx.AsyncClient,
) -> None:
    cases = {"tweets": made_up_cases("tweets", 40)}
    _, first = await play(Service(client), cases, Console(file=io.StringIO()))

    _, second = await play(Service(client), cases, Console(file=io.StringIO()))

    assert second.verdicts == 0
    assert second.domains[0].audited == first.domains[0].audited
    assert second.domains[0].accepted_error_estimate == first.domains[0].accepted_error_estimate
