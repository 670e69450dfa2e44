"""`when: "has(prediction.features.n_tokens) && prediction.features.n_tokens > 200"`.

Expressions are CEL. The library has no cost limit and no type checker, so the limits are here: at
most 1,000 characters, no comprehensions, no costly regular expressions, nothing to read but
`prediction` and `monitors` (`monitor_reads.py`). Every number of a prediction reaches CEL as a
double, so bare integers in an expression are read as doubles too (CEL does not multiply the one
with the other).
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from app.core.routing.draw import Chance
from app.core.routing.prediction import Signals
from app.core.routing.rules.base import (
    ERROR,
    FIRED,
    MISSING,
    PASSED,
    Condition,
    Finding,
    Look,
    Segment,
)
from app.core.routing.rules.monitor_reads import (
    NO_CODE,
    VARIABLE,
    monitors_of,
    state_of,
    with_variables,
)
from app.core.routing.rules.patterns import WEIGHT_MAX, patterns_of, weight_of

LENGTH_MAX = 1000
OBSERVED_MAX = 200

_NO_CODE = re.compile(NO_CODE, re.DOTALL | re.VERBOSE)
_MACRO = re.compile(r"\.\s*(all|exists|exists_one|existsOne|map|filter)\s*\(")
_INTEGER = re.compile(r"(?<![\w.])(\d+)(?![\w.])")
# a read of one field of the prediction, or of one entry of a field; a method is no entry
_READ = re.compile(
    r"\bprediction\b(?:\s*\.\s*([A-Za-z_]\w*)(?:\s*\.\s*([A-Za-z_]\w*)(?!\w*\s*\())?)?"
)
_HAS = re.compile(r"\bhas\s*\(\s*prediction\s*\.\s*([A-Za-z_]\w*)(?:\s*\.\s*([A-Za-z_]\w*))?\s*\)")
_HAS_PREFIX = "has"
# the first mistake; the library tells it behind the whole expression, which may be long
_CAUSE = re.compile(r"ERROR: <input>:\d+:\d+: ([^\n]*)")
_REGEX_CAUSE = re.compile(r"error: ([^\n]*?)\. Check function")
# what the library has, operators aside; a call of anything else only fails when it is evaluated
_FUNCTIONS = (
    "bytes contains double duration dyn endsWith getDate getDayOfMonth getDayOfWeek getDayOfYear "
    "getFullYear getHours getMilliseconds getMinutes getMonth getSeconds int matches size "
    "startsWith string timestamp type uint"
)
_MAPS = frozenset({"features", "scores", "segment"})
_FEATURE = re.compile(r"\bprediction\s*\.\s*(features|scores|segment)\s*\.\s*([A-Za-z_]\w*)")


# by field, the entries that are read of it; None for the whole field. To hand a value to CEL costs
# more than to evaluate with it, so an expression gets no more than it reads.
Reads = Mapping[str, frozenset[str] | None]
# by the name of a variable, the field and its entry, if it is one of an entry, that it stands for
Flat = tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition written in CEL over the prediction and the states of monitors."""

    kind: ClassVar[str] = "when"
    draws: ClassVar[bool] = False

    source: str
    # compiled once per policy version; not part of what is written
    program: Any = field(init=False, default=None, compare=False)
    # why it did not compile
    why: str = field(init=False, default="", compare=False)
    # what its regular expressions cost; infinite where that cannot be told
    weight: float = field(init=False, default=0.0, compare=False)
    reads: Reads = field(init=False, default_factory=dict, compare=False)
    # the monitors that it reads
    monitors: tuple[str, ...] = field(init=False, default=(), compare=False)
    # the same expression over plain variables, where it can be written so: a nested value costs
    # four times as much to hand over
    flat_program: Any = field(init=False, default=None, compare=False)
    flat: Flat = field(init=False, default=(), compare=False)

    def __post_init__(self) -> None:
        """Compile what is short enough; `check` tells what did not compile."""
        if len(self.source) > LENGTH_MAX:
            return
        program, why = _compiled(self.source)
        object.__setattr__(self, "program", program)
        object.__setattr__(self, "why", why)
        if program is None:
            return
        reads = _reads(self.source)
        object.__setattr__(self, "reads", reads)
        monitors = monitors_of(self.source)
        object.__setattr__(self, "monitors", monitors or ())
        object.__setattr__(self, "weight", _weight(self.source))
        flat = _flattened(self.source, reads, monitors or ())
        if flat is not None:
            object.__setattr__(self, "flat_program", _compiled(flat[0])[0])
            object.__setattr__(self, "flat", flat[1])

    def check(
        self,
        labels: frozenset[str] | None,  # noqa: ARG002
        segments: frozenset[str],  # noqa: ARG002
    ) -> str | None:
        """Length, macros, names, and a trial on sample values."""
        if len(self.source) > LENGTH_MAX:
            return f"An expression has at most {LENGTH_MAX} characters."
        if _MACRO.search(_NO_CODE.sub(" ", self.source)):
            return "all, exists, exists_one, map and filter are not offered: they have no bound."
        if self.program is None:
            return f"Does not compile: {self.why}"
        wrong = _wrong_reads(self.source, set(self.program.variables()))
        if wrong is not None:
            return wrong
        if self.weight > WEIGHT_MAX:
            return (
                "matches() takes one written-out pattern, and length times repetitions of all "
                f"patterns must not be more than {WEIGHT_MAX}."
            )
        return _wrong_calls(self) or _trial(self)

    def look_of(self, rule_id: str, labels: frozenset[str] | None) -> Look:  # noqa: ARG002
        """The quick way, where there is one."""
        return self.look if self.flat_program is None else self.look_flat

    def look_flat(self, signals: Signals, chance: Chance) -> Finding:
        """As `look`, over plain variables; whatever goes wrong there is told by `look`."""
        try:
            result = self.flat_program.execute(_variables(signals, self.flat, self.monitors))
        except Exception:  # noqa: BLE001 - a field that is not there, most of the time
            return self.look(signals, chance)
        if result is True:
            return FIRED, None
        return (PASSED, None) if result is False else self.look(signals, chance)

    def look(self, signals: Signals, chance: Chance) -> Finding:  # noqa: ARG002
        """Evaluate; a field that is not there is `missing`, anything but true or false an error."""
        try:
            result = self.program.execute(
                {
                    "prediction": _facts(signals, self.reads),
                    VARIABLE: {name: state_of(signals, name) for name in self.monitors},
                }
            )
        except KeyError as error:
            return MISSING, f"no field {error.args[0]!r}"[:OBSERVED_MAX]
        except Exception as error:  # noqa: BLE001 - whatever an expression does, a human decides
            return ERROR, str(error)[:OBSERVED_MAX]
        if result is True:
            return FIRED, None
        if result is False:
            return PASSED, None
        return ERROR, f"gave {type(result).__name__}, not true or false"

    def probability(self, signals: Signals) -> float:  # noqa: ARG002
        """It draws nothing."""
        return 1.0

    @property
    def varies(self) -> bool:
        """The expression is the same for every prediction."""
        return False

    def threshold(self, label: str | None, segment: Segment) -> str:  # noqa: ARG002
        """The expression."""
        return self.source

    def covers(self, other: Condition) -> bool:
        """It is the same expression; what others imply is not looked into."""
        return self == other

    def sentence(self) -> str:
        """For people."""
        return f"expression {self.source}"


def _wrong_reads(source: str, variables: set[str]) -> str | None:
    strangers = sorted(variables - {"prediction", VARIABLE})
    if strangers:
        hint = ", ".join(f"prediction.{name}" for name in strangers if name in _FIELDS)
        return f"Only `prediction` and `monitors` can be read, not {', '.join(strangers)}; " + (
            f"write {hint}." if hint else f"a prediction has {', '.join(_FIELDS)}."
        )
    unknown = sorted(set(_reads(source)) - _FIELDS.keys())
    if unknown:
        return (
            f"A prediction has no {', '.join(unknown)} here; an expression can read "
            f"{', '.join(_FIELDS)}, and what features, scores and segment hold."
        )
    if VARIABLE in variables and not monitors_of(source):
        return 'Monitors are named in the expression: monitors.NAME, or monitors["NAME"].'
    return None


def _compiled(source: str) -> tuple[Any, str]:
    try:
        # here and not above: the library brings its own command line with it, half a second that
        # every process would pay, with expressions or without
        import cel  # noqa: PLC0415

        return cel.compile(_with_doubles(source)), ""
    except Exception as error:  # noqa: BLE001 - the library raises several kinds
        cause = _CAUSE.search(str(error))
        return None, (cause[1] if cause else str(error))[:OBSERVED_MAX]


def _wrong_calls(expression: Expression) -> str | None:
    """A function that there is not, or a pattern that is none."""
    called = filter(str.isidentifier, expression.program.functions())
    unknown = sorted(set(called) - set(_FUNCTIONS.split()))
    if unknown:
        return f"There is no function {', '.join(unknown)}; there are {_FUNCTIONS}."
    for literal in patterns_of(expression.source, _NO_CODE) or ():
        program, _ = _compiled(f"'a'.matches({literal})")
        try:
            program.execute({})
        except RuntimeError as error:
            cause = _REGEX_CAUSE.search(str(error))
            return f"{literal} is no pattern: {cause[1] if cause else error}."
    return None


def _weight(source: str) -> float:
    written = patterns_of(source, _NO_CODE)
    if written is None:
        return math.inf
    patterns = [_text(literal) for literal in written]
    return weight_of([pattern for pattern in patterns if pattern is not None])


def _text(literal: str) -> str | None:
    """The string that a CEL literal stands for; None for bytes, which match nothing."""
    program, _ = _compiled(literal)
    value = program.execute({}) if program is not None else None
    return value if isinstance(value, str) else None


def _with_doubles(source: str) -> str:
    """`n > 200` as `n > 200.0`, strings and comments left alone."""
    parts = []
    at = 0
    for literal in _NO_CODE.finditer(source):
        parts += [_INTEGER.sub(r"\1.0", source[at : literal.start()]), literal.group()]
        at = literal.end()
    return "".join(parts) + _INTEGER.sub(r"\1.0", source[at:])


def _reads(source: str) -> Reads:
    """What an expression reads of the prediction; everything where that cannot be told."""
    reads: dict[str, frozenset[str] | None] = {}
    for name, entry in _READ.findall(_NO_CODE.sub(" ", source)):
        if not name:
            return dict.fromkeys(_FIELDS)
        before = reads.get(name, frozenset())
        reads[name] = None if not entry or before is None else before | {entry}
    return reads


def _facts(signals: Signals, reads: Reads) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, entries in reads.items():
        value = _FIELDS[name](signals) if name in _FIELDS else None
        if isinstance(value, dict):
            # without features sent as null: `has()` is then false for them
            value = {
                entry: value[entry]
                for entry in (value if entries is None else entries)
                if value.get(entry) is not None
            }
        if value is not None:
            facts[name] = value
    return facts


_FIELDS: dict[str, Callable[[Signals], Any]] = {
    "model": lambda signals: signals.prediction.model,
    "model_version": lambda signals: signals.prediction.model_version,
    "features": lambda signals: signals.prediction.features or {},
    "scores": lambda signals: signals.scores or {},
    "segment": lambda signals: signals.prediction.segment or {},
    "label": lambda signals: signals.label,
    "confidence": lambda signals: signals.confidence,
    "risk": lambda signals: signals.prediction.risk,
    "context_key": lambda signals: signals.prediction.context_key,
}


def _flattened(source: str, reads: Reads, monitors: tuple[str, ...]) -> tuple[str, Flat] | None:
    """`has(prediction.risk) && prediction.risk > 1` as `has_risk && risk > 1`.

    None where it cannot be written so: something is read as a whole.
    """
    if not (reads or monitors) or any(
        name not in _FIELDS or (entries is None) == (name in _MAPS)
        for name, entries in reads.items()
    ):
        return None
    flat: dict[str, tuple[str, str]] = {}
    source = with_variables(source, {name: _MONITOR % at for at, name in enumerate(monitors)})

    def variable(prefix: str, read: "re.Match[str]") -> str:
        name, entry = read.group(1), read.group(2) or ""
        called = f"{prefix}_{name}_{entry}"
        flat[called] = name, entry
        return called

    def rewritten(code: str) -> str:
        code = _HAS.sub(lambda read: variable(_HAS_PREFIX, read), code)
        return _READ.sub(lambda read: variable("value", read), code)

    parts = []
    at = 0
    for literal in _NO_CODE.finditer(source):
        parts += [rewritten(source[at : literal.start()]), literal.group()]
        at = literal.end()
    parts.append(rewritten(source[at:]))
    return "".join(parts), tuple((called, *of) for called, of in flat.items())


# by the place of its name: a name can have characters that no variable has
_MONITOR = "monitor_%d"


def _variables(signals: Signals, flat: Flat, monitors: tuple[str, ...]) -> dict[str, Any]:
    """What the plain variables stand for; one whose field is not there is left out."""
    variables: dict[str, Any] = {}
    for at, monitor in enumerate(monitors):
        variables[_MONITOR % at] = state_of(signals, monitor)
    for called, name, entry in flat:
        value = _FIELDS[name](signals)
        if entry:
            value = value.get(entry)
        if called.startswith(_HAS_PREFIX):
            variables[called] = value is not None
        elif value is not None:
            variables[called] = value
    return variables


def _trial(expression: Expression) -> str | None:
    """Run on made-up predictions; refused when none gives true or false, but one something else.

    A feature's type is not known before: `prediction.features.sure` gives a number for a number.
    """
    names = _FEATURE.findall(expression.source)
    monitors = dict.fromkeys(expression.monitors, "stable")
    samples: tuple[Any, ...] = (1.0, "a", True)
    given = ""
    for sample in samples:
        facts: dict[str, Any] = {
            "model": "m",
            "model_version": "1",
            "label": "a",
            "confidence": 0.5,
            "risk": 0.5,
            "context_key": "c",
            "features": {name: sample for place, name in names if place == "features"},
            "scores": {name: 0.5 for place, name in names if place == "scores"},
            "segment": {name: "a" for place, name in names if place == "segment"},
        }
        try:
            result = expression.program.execute({"prediction": facts, VARIABLE: monitors})
        except Exception:  # noqa: BLE001, S112 - a feature of another type; the next sample may fit
            continue
        if isinstance(result, bool):
            return None
        given = given or type(result).__name__
    return f"Gives {given} on sample values, not true or false." if given else None
