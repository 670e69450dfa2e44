"""What the recorded people answer when the demo asks them to review.

A rating's sign is the label: below 0 negative, 0 neutral, above 0 positive.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.dev.demo.texts import Text

LABELS = ("negative", "neutral", "positive")

# The film reviews were rated by 15 to 29 people each, the other texts by 20 or more, so every
# text has an answer for this many reviewers.
RATERS = 15

# In this domain a column of ratings is one person for about 30 texts in a row: the mean rating of
# a column in one block of 15 texts predicts that of the next (correlation 0.7). In the other
# domains the columns were shuffled for each text and carry no person.
COLUMNS_ARE_PEOPLE = frozenset({"films"})


def label_of(rating: int) -> str:
    """The label that a rating from -4 to +4 stands for."""
    return LABELS[(rating > 0) - (rating < 0) + 1]


def panel_label(ratings: Sequence[int]) -> str | None:
    """The label that most raters chose; None when two labels share the first place."""
    ranked = Counter(label_of(rating) for rating in ratings).most_common(2)
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return None
    return ranked[0][0]


def rater_label(text: Text, rater: int, seed: int) -> str:
    """The answer of rater 0, 1, … `RATERS` - 1: one recorded rating, a different one for each.

    Where columns carry no person the ratings are put in an order drawn from the seed.
    """
    ratings = list(text.ratings)
    if text.domain not in COLUMNS_ARE_PEOPLE:
        random.Random(f"{seed}/{text.id}").shuffle(ratings)  # noqa: S311 - a simulation
    return label_of(ratings[rater])
