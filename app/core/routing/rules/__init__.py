"""The kinds of rule, one small file each; `KINDS` is the one list of them."""

from typing import Any

from app.core.routing.rules.base import Condition
from app.core.routing.rules.confidence import Confidence
from app.core.routing.rules.labels import LabelList, Labels
from app.core.routing.rules.margin import Margin
from app.core.routing.rules.risk import Risk
from app.core.routing.rules.when import Expression

# by the field that a rule carries in a policy document
KINDS: dict[str, type[Condition]] = {
    kind.kind: kind for kind in (Confidence, Margin, Labels, Risk, Expression)
}
# kinds whose specification is a bare value, not an object: its type, and the field that takes it
BARE: dict[str, tuple[Any, str]] = {
    Labels.kind: (LabelList, "labels"),
    Expression.kind: (str, "source"),
}
