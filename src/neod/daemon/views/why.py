"""``why``: line of the file, lease, needs and last actions of one object. Pure reading."""

from neod.control.errors import NoSuchObject
from neod.control.verbs.objects import NeedRow, WhyReply
from neod.daemon.config_store import ConfigStore
from neod.daemon.controller import Controller
from neod.daemon.describe import flat
from neod.daemon.views import causes
from neod.daemon.views.leases import lease_in_words
from neod.daemon.views.names import keys_of
from neod.daemon.views.objects import drift_row, if_down, phase_of
from neod.daemon.views.path_rows import condition_rows
from neod.features.parts import paths_by_table
from neod.model.key import Key
from neod.model.kind import path_of


def why_reply(controller: Controller, config: ConfigStore, name: str) -> WhyReply:
    """Return why the object that *name* means, or the one that matters most among them, is as it is.

    Raises:
        NoSuchObject: it means nothing here.
    """
    state, now = controller.state, controller.clock.boottime()
    key = _leading(controller, name)
    want, seen, status = state.desired.wants.get(key), state.observed.get(key), state.status.of(key)
    spec = want.spec if want else seen.spec if seen else None
    needs = state.needs_of(key, spec) if spec is not None else ()
    line, down = (want.origin.line, if_down(controller)) if want else (0, "")
    path = path_of(state.kind_of(key), key, spec, paths_by_table(controller.intents))
    return WhyReply(
        object=str(key),
        phase=phase_of(controller, key) if want or status else "foreign",
        reason="; ".join(filter(None, (_reason(want is not None, seen is not None and seen.owned), down))),
        file=str(config.path) if want else "",
        table=want.origin.path if want else "",
        line=line,
        text=config.line(line),
        lease=lease_in_words(controller, path, want.lease) if want else "",
        desired=flat(state.desired.written[key], now) if key in state.desired.written else None,
        observed=flat(seen.spec, now) if seen else None,
        owned=seen.owned if seen else True,
        needs=tuple(NeedRow(str(need), phase_of(controller, need)) for need in needs),
        drift=drift_row(controller, key, status, causes.of_nics(controller)) if status else None,
        actions=controller.event_log.feed.of(str(key)),
        conditions=condition_rows(controller, path),
    )


def _leading(controller: Controller, name: str) -> Key:
    """Return what is out of sync of what *name* means; else what leads its path, or the first."""
    keys = keys_of(controller, name)
    if not keys:
        raise NoSuchObject(name)
    leading = next((key for key in keys if controller.state.kind_of(key).leads_path), keys[0])
    return next((key for key in keys if controller.state.status.of(key)), leading)


def _reason(wanted: bool, owned: bool) -> str:
    if wanted:
        return "the file asks for it"
    return "nothing asks for it; it carries neo's mark" if owned else "it is not neo's"
