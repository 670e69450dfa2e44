"""Which state of a monitor a decision relies on.

A monitor has a state for each model version as a whole and for each of its segments. A decision
looks at its own segment first, which may have drifted alone; what is not known of the segment yet
is taken from the whole.
"""

import uuid
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

COLLECTING = "collecting"
WARNING = "warning"
DRIFTING = "drifting"
WHOLE = ""
_ALARM = {"collecting": 0, "stable": 1, "warning": 2, "drifting": 3}


class Needed(Struct, frozen=True, gc=False):
    """A monitor that a policy looks at: of one segment key only, or of any that it declares."""

    monitor: str
    segment: str | None = None


class Seen(Struct, frozen=True, gc=False, omit_defaults=True):
    """The state that a decision relied on, and the evaluation that brought it about.

    Attributes:
        name: the monitor's.
        state: with mutes applied.
        evaluation: None while nothing has been evaluated.
        segment: the key that the policy asked for; None where it did not.
    """

    name: str
    state: str
    evaluation: uuid.UUID | None
    segment: str | None = None


# by model version and segment (`source:tweets`, or `WHOLE`)
States = Mapping[tuple[str, str], tuple[str, uuid.UUID]]


class MonitorStates(Struct, frozen=True):
    """The states of the monitors of one model, by the monitor's name; read anew with each view."""

    of: Mapping[str, States] = field(default_factory=dict)

    def seen(
        self,
        needed: Sequence[Needed],
        declared: Sequence[str],
        model_version: str,
        segment: Mapping[str, str],
    ) -> tuple[Seen, ...]:
        """What a policy's monitors say about one prediction.

        Args:
            needed: the monitors that the policy looks at.
            declared: the segment keys that it declares.
            model_version: of the prediction.
            segment: of the prediction.
        """
        return tuple(
            self._seen(one, [one.segment] if one.segment else declared, model_version, segment)
            for one in needed
        )

    def _seen(
        self, needed: Needed, keys: Sequence[str], model_version: str, segment: Mapping[str, str]
    ) -> Seen:
        states = self.of.get(needed.monitor, {})
        own = [
            found
            for key in keys
            if key in segment
            and (found := states.get((model_version, f"{key}:{segment[key]}"))) is not None
            and found[0] != COLLECTING
        ]
        if own:
            state, evaluation = max(own, key=lambda found: _ALARM[found[0]])
            return Seen(needed.monitor, state, evaluation, needed.segment)
        whole = states.get((model_version, WHOLE))
        if whole is None:
            return Seen(needed.monitor, COLLECTING, None, needed.segment)
        return Seen(needed.monitor, *whole, needed.segment)
