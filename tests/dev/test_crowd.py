"""What the recorded people answer."""

import pytest

from app.dev.demo.crowd import RATERS, label_of, panel_label, rater_label
from app.dev.demo.texts import Text

NEGATIVE, NEUTRAL, POSITIVE = "negative", "neutral", "positive"
FIFTEEN = (1, -1, 0, 4, -4, 2, -2, 0, 3, -3, 1, 0, -1, 2, 0)


@pytest.mark.parametrize(
    ("rating", "label"),
    [(-4, NEGATIVE), (-1, NEGATIVE), (0, NEUTRAL), (1, POSITIVE), (4, POSITIVE)],
)
def test_the_sign_of_a_rating_is_its_label(rating: int, label: str) -> None:
    assert label_of(rating) == label


@pytest.mark.parametrize(
    ("ratings", "label"),
    [
        pytest.param((1, 2, -4), POSITIVE, id="two mild ones outvote a strong one"),
        pytest.param((0, 0, 1, -1), NEUTRAL, id="a plurality is enough"),
        pytest.param((0, 0, 1, 1, -1), None, id="two labels share the first place"),
        pytest.param((-2,), NEGATIVE, id="one rater is a panel"),
        pytest.param((0, 0, 0, 1, -1), NEUTRAL, id="a tie for the second place does not matter"),
    ],
)
def test_the_panel_says_what_most_raters_said(ratings: tuple[int, ...], label: str | None) -> None:
    assert panel_label(ratings) == label


def test_in_films_a_rater_is_a_column() -> None:
    text = Text("films/1", "films", "Eh.", FIFTEEN)

    answers = [rater_label(text, rater, seed=7) for rater in range(RATERS)]

    assert answers == [label_of(rating) for rating in FIFTEEN]


def test_elsewhere_each_rater_gives_another_of_the_ratings_in_an_order_drawn_from_the_seed() -> (
    None
):
    text = Text("tweets/1", "tweets", "wow", FIFTEEN)

    answers = [rater_label(text, rater, seed=7) for rater in range(RATERS)]

    assert sorted(answers) == sorted(label_of(rating) for rating in FIFTEEN)
    assert answers != [label_of(rating) for rating in FIFTEEN]
    assert answers == [rater_label(text, rater, seed=7) for rater in range(RATERS)]
    assert answers != [rater_label(text, rater, seed=8) for rater in range(RATERS)]
