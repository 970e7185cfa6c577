"""``why``: line of the file, lease, needs and last actions of one object. Pure reading."""

from collections.abc import Sequence
from typing import Any, Final

from neod.control.verbs.objects import NeedRow, WhyReply
from neod.daemon.config_store import ConfigStore
from neod.daemon.controller import Controller
from neod.daemon.describe import flat
from neod.daemon.views import causes
from neod.daemon.views.leases import lease_in_words
from neod.daemon.views.names import meaning_of
from neod.daemon.views.objects import drift_row, object_rows, phase_of
from neod.daemon.views.path_rows import condition_rows, unit_rows
from neod.features.parts import PathInfo, paths_by_table
from neod.features.races.compile import RaceRequest
from neod.model.key import Key, LinkKey
from neod.model.kind import path_of
from neod.model.want import Origin

ALSO: Final = 12
"""So many of the other objects that a name stands for are told."""


def why_reply(controller: Controller, config: ConfigStore, name: str) -> WhyReply:
    """Return why the object that *name* means, or the one that matters most among them, is as it is.

    Raises:
        NoSuchObject: it means nothing here.
    """
    means = meaning_of(controller, name)
    if means.race is not None:
        return _of_race(config, means.race)
    if means.units and (not means.keys or not controller.state.status.of(means.keys[0])):
        return _of_unit(controller, config, means.units[0], means.keys)
    if not means.keys:
        waits = causes.of_waiting(controller)[:3]
        reason = "; ".join(("nothing asks for it now, and it is not there", *waits))
        return WhyReply(means.past, "absent", reason, actions=controller.event_log.feed.of(means.past))
    return _of_object(controller, config, means.keys[0], means.keys[1:])


def _of_object(controller: Controller, config: ConfigStore, key: Key, others: Sequence[Key]) -> WhyReply:
    state, now = controller.state, controller.clock.boottime()
    want, seen, status = state.desired.wants.get(key), state.observed.get(key), state.status.of(key)
    spec = want.spec if want else seen.spec if seen else None
    needs = state.needs_of(key, spec) if spec is not None else ()
    down, required = causes.if_down(controller) if want else "", state.desired.is_required(key)
    path = path_of(state.kind_of(key), key, spec, paths_by_table(controller.intents))
    origin = want.origin if want else _user_of(controller, key, path)
    return WhyReply(
        object=str(key),
        phase=phase_of(controller, key) if want or status else "foreign",
        reason="; ".join(filter(None, (_reason(bool(want), bool(seen and seen.owned), origin, required), down))),
        **_place(config, origin),
        lease=lease_in_words(controller, path, want.lease if want else ""),
        desired=flat(state.desired.written[key], now) if key in state.desired.written else None,
        observed=flat(seen.spec, now) if seen else None,
        owned=seen.owned if seen else True,
        needs=tuple(NeedRow(str(need), phase_of(controller, need)) for need in needs),
        drift=drift_row(controller, key, status, causes.of_nics(controller)) if status else None,
        actions=controller.event_log.feed.of(str(key)),
        conditions=condition_rows(controller, path),
        also=object_rows(controller, others[:ALSO]),
    )


def _of_unit(controller: Controller, config: ConfigStore, unit: str, keys: Sequence[Key]) -> WhyReply:
    """Return why a part of the file waits for a fact."""
    (row,), path = unit_rows(controller, (unit,)), causes.path_in(unit)
    origin = controller.state.desired.origin_of(unit) or _path_origin(controller, path)
    return WhyReply(
        object=unit,
        phase=row.phase,
        reason="the file asks for it",
        **_place(config, origin),
        lease=lease_in_words(controller, path, ""),
        drift=row,
        actions=controller.event_log.feed.of(str(LinkKey("", path))),
        conditions=condition_rows(controller, path),
        also=object_rows(controller, keys[:ALSO]),
    )


def _of_race(config: ConfigStore, race: RaceRequest) -> WhyReply:
    reason = f"neo-race serves it, and neod makes nothing of it: journalctl -u neo-race; {' → '.join(race.ends[:2])}"
    return WhyReply(race.origin.path, "neo-race", reason, **_place(config, race.origin))


def _place(config: ConfigStore, origin: Origin | None) -> dict[str, Any]:
    """Return the fields that say what of the file asks for it."""
    if origin is None:
        return {}
    return {"file": str(config.path), "table": origin.path, "line": origin.line, "text": config.line(origin.line)}


def _path_origin(controller: Controller, name: str) -> Origin | None:
    return next((path.origin for path in controller.intents.of(PathInfo) if path.name == name), None)


def _user_of(controller: Controller, key: Key, path: str) -> Origin | None:
    """Return the entry of the file whose path an object of others is: a NIC that it names."""
    is_it = controller.state.kind_of(key).interface(key) == path and not key.netns
    return _path_origin(controller, path) if is_it else None


def _reason(wanted: bool, owned: bool, used_by: Origin | None, required: bool) -> str:
    if wanted:
        return "the file asks for it"
    if owned:
        return "nothing asks for it; it carries neo's mark"
    if used_by is not None:
        return "it is not neo's; the file uses it as it is"
    return "it is not neo's; what the file asks for needs it" if required else "it is not neo's"
