"""The demo's story on a few made-up texts, against the application."""

import io
from itertools import cycle, islice

import httpx
from rich.console import Console

from app.dev.demo.cases import Case
from app.dev.demo.classifier import Scored
from app.dev.demo.run import play
from app.dev.demo.service import Service
from app.dev.demo.texts import Text

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


async def test_every_review_and_audit_is_answered_and_the_figures_agree(
    client: httpx.AsyncClient,
) -> None:
    cases = {"tweets": made_up_cases("tweets", 80), "films": made_up_cases("films", 40)}

    found = await play(Service(client), cases, Console(file=io.StringIO()))

    tweets, films = found.domains
    assert (tweets.predictions, tweets.accepted, tweets.reviewed) == (80, 20, 60)
    assert (films.predictions, films.accepted, films.reviewed) == (40, 10, 30)
    assert found.verdicts == 90 + tweets.audited + films.audited
    assert tweets.accepted_error_true == 0.5
    assert tweets.reviewer_model_agreement == 0.5
    assert tweets.reviewer_panel_agreement == 1


async def test_the_estimate_speaks_of_the_audited_texts_of_its_own_domain(
    client: httpx.AsyncClient,
) -> None:
    right, wrong = made_up_cases("tweets", 4), made_up_cases("films", 8)[4:]
    cases = {
        "tweets": [_numbered(right[0], n) for n in range(200)],
        "films": [_numbered(wrong[0], n) for n in range(200)],
    }

    found = await play(Service(client), cases, Console(file=io.StringIO()))

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
    first = await play(Service(client), cases, Console(file=io.StringIO()))

    second = await play(Service(client), cases, Console(file=io.StringIO()))

    assert second.verdicts == 0
    assert second.domains[0].audited == first.domains[0].audited
    assert second.domains[0].accepted_error_estimate == first.domains[0].accepted_error_estimate
