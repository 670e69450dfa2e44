r"""How much a regular expression in `matches()` may cost.

The library compiles a pattern anew at each evaluation and bounds neither its size nor its time, on
the thread that answers every request: nested repetitions take seconds. So a pattern must be written
out, and its weight is limited: its length times the product of its counted repetitions. A unit
costs up to 0.2 ms (measured with `\w`, the dearest of the classes).
"""

import math
import re
from collections.abc import Sequence

WEIGHT_MAX = 200

_COMMENT = "//"
_CALL = re.compile(r"\bmatches\s*\(")
_LITERAL_CALL = re.compile(r'\bmatches\s*\(\s*"(\d+)"\s*\)')
_COUNTED = re.compile(r"\{\s*(\d+)\s*(?:,\s*(\d*)\s*)?\}")
# spaces and comments inside of {1,9} would hide what it counts
_VERBOSE = re.compile(r"\(\?[A-Za-z]*x")


def patterns_of(source: str, no_code: "re.Pattern[str]") -> list[str] | None:
    """The patterns of all calls of `matches`, each a CEL literal as it is written.

    Args:
        source: the expression.
        no_code: finds its strings and comments.

    Returns:
        None where one of them is not a literal.
    """
    literals: list[str] = []

    def number(found: "re.Match[str]") -> str:
        if found.group().startswith(_COMMENT):
            return " "
        literals.append(found.group())
        return f'"{len(literals) - 1}"'

    code = no_code.sub(number, source)
    written = _LITERAL_CALL.findall(code)
    if len(written) != len(_CALL.findall(code)):
        return None
    return [literals[int(place)] for place in written]


def weight_of(patterns: Sequence[str]) -> float:
    """What the patterns cost together; infinite for one that hides its repetitions."""
    return sum(map(_weight, patterns))


def _weight(pattern: str) -> float:
    if _VERBOSE.search(pattern):
        return math.inf
    counts = (int((most or least)[:9]) for least, most in _COUNTED.findall(pattern))
    return len(pattern) * math.prod(max(1, count) for count in counts)
