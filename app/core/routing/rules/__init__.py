"""The kinds of rule, one small file each; `KINDS` is the one list of them."""

from typing import Any

from app.core.routing.rules.activation import Activation, Activations
from app.core.routing.rules.base import Condition
from app.core.routing.rules.confidence import Confidence
from app.core.routing.rules.disagreement import Disagreement
from app.core.routing.rules.entropy import Entropy
from app.core.routing.rules.labels import LabelList, Labels
from app.core.routing.rules.margin import Margin
from app.core.routing.rules.novel_label import NovelLabel
from app.core.routing.rules.out_of_distribution import OutOfDistribution
from app.core.routing.rules.risk import Risk
from app.core.routing.rules.sample import Sample
from app.core.routing.rules.when import Expression

# by the field that a rule carries in a policy document
KINDS: dict[str, type[Condition]] = {
    kind.kind: kind
    for kind in (
        Confidence,
        Margin,
        Entropy,
        Disagreement,
        Labels,
        NovelLabel,
        OutOfDistribution,
        Risk,
        Expression,
        Sample,
        Activation,
    )
}
# kinds that are not decoded by their own fields: the type of their specification, and the field
# that takes it
BARE: dict[str, tuple[Any, str]] = {
    Labels.kind: (LabelList, "labels"),
    Expression.kind: (str, "source"),
    Activation.kind: (Activations, "written"),
}
