"""`monitors.confidence == "drifting"`: what an expression reads of the monitors.

A policy is checked, and its monitors are recorded with each decision, so their names must stand
there written out: `monitors.NAME`, or `monitors["NAME"]` for a name with a dash or a dot. Each
gives the state as a string; one of which nothing is known yet is `collecting`, so `has` is true.
"""

import re

from app.core.routing.monitors import COLLECTING
from app.core.routing.prediction import Signals

VARIABLE = "monitors"
# comments and strings, each as a whole: a quote in a comment opens no string, and a raw string
# ends at its first quote
NO_CODE = r"""//[^\n]*
      | [bB]?[rR](?:"{3}.*?"{3} | '{3}.*?'{3} | "[^"]*" | '[^']*')
      | "{3}(?:\\.|[^\\])*?"{3} | '{3}(?:\\.|[^\\])*?'{3}
      | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'"""
# a method is no name
_NAME = r"([A-Za-z_]\w*)(?!\w*\s*\()"
_QUOTED = r"""\[\s*(?:"([A-Za-z0-9._-]+)"|'([A-Za-z0-9._-]+)')\s*\]"""
# a read within `has`, a read, or the variable in any other use; and what is not to be looked into:
# strings, comments, and fields of something else
_TOKEN = re.compile(
    rf"""\bhas\s*\(\s*{VARIABLE}\s*\.\s*{_NAME}\s*\)
      | \b{VARIABLE}\b(?:\s*\.\s*{_NAME} | \s*{_QUOTED})?
      | {NO_CODE}
      | \.\s*[A-Za-z_]\w*""",
    re.DOTALL | re.VERBOSE,
)


def monitors_of(source: str) -> tuple[str, ...] | None:
    """The names of the monitors that an expression reads, each once.

    Returns:
        None where one of them is not written out.
    """
    names = dict.fromkeys(_name_in(found) for found in _TOKEN.finditer(source) if _reads(found))
    return None if None in names else tuple(filter(None, names))


def with_variables(source: str, variables: dict[str, str]) -> str:
    """The expression with plain variables in place of the monitors.

    Args:
        source: the expression.
        variables: what each monitor becomes.
    """

    def variable(found: "re.Match[str]") -> str:
        name = _name_in(found)
        if name is None:
            return found.group()
        return variables[name] if found[1] is None else "true"

    return _TOKEN.sub(variable, source)


def state_of(signals: Signals, name: str) -> str:
    """The state of a monitor, whatever segment it was seen in."""
    for seen in signals.monitors:
        if seen.name == name and seen.segment is None:
            return seen.state
    return COLLECTING


def _reads(found: "re.Match[str]") -> bool:
    return found.group().startswith((VARIABLE, "has"))


def _name_in(found: "re.Match[str]") -> str | None:
    return next(filter(None, found.groups()), None)
