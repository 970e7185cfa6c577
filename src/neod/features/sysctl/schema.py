"""``[sysctl]``: sysctls beyond those that the roles imply."""

from collections.abc import Iterator
from typing import Any, Final

from neod.features.intents import Intents
from neod.features.parts import ExplicitSysctl, ImpliedSysctl
from neod.features.sysctl.compile import ImpliedFragment, SysctlFragment
from neod.features.table import NOTHING_IN_IT, Table
from neod.features.validation.checks import InvalidValue
from neod.features.validation.context import Context
from neod.features.validation.sysctl import SYSCTLS, leaves, proc_path, proc_value
from neod.features.validation.text import show
from neod.model.want import Origin


def contribute(section: dict[str, Any], context: Context) -> Iterator[object]:
    """Yield one fragment with every sysctl that the table asks for, and each for the tables that imply some."""
    values: dict[str, tuple[str, Origin]] = {}
    for path, key, value in leaves(section, ("sysctl",)):
        if value == {}:
            context.warn(path, NOTHING_IN_IT)
            continue
        try:
            name = proc_path(key)
            values.setdefault(name, (proc_value(value), context.origin(*path)))
        except InvalidValue as invalid:
            context.problem(path, invalid.problem, invalid.hint)
        else:
            context.claim("the sysctl", name, show(key), path, "keep one of the two")
    if values:
        yield SysctlFragment(tuple((name, *values[name]) for name in sorted(values)))
    yield from (ExplicitSysctl("", name, value) for name, (value, _) in values.items())


def finalize(intents: Intents, context: Context) -> Iterator[object]:
    """Yield what all tables imply and the file does not set itself."""
    explicit = {one.path for one in intents.of(ExplicitSysctl) if not one.netns}
    implied = {one.path: one for one in intents.of(ImpliedSysctl) if one.path not in explicit}
    if implied:
        yield ImpliedFragment(tuple((one.path, one.value, one.origin) for _, one in sorted(implied.items())))


TABLE: Final = Table(
    about='Sysctls below net, beyond those that the roles imply: "net.ipv4.tcp_congestion_control" = "bbr". The value '
    "found before the first write comes back when the file no longer asks for one.",
    section=dict[str, Any],
    contribute=contribute,
    finalize=finalize,
    schema={
        "type": "object",
        "patternProperties": SYSCTLS,
        "additionalProperties": False,
    },
)
