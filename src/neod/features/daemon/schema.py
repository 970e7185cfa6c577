"""``[daemon]``: how neod itself works."""

from collections.abc import Iterator
from typing import Final

from neod.features.daemon.compile import DaemonSettings
from neod.features.table import Table
from neod.features.validation.context import Context
from neod.features.validation.fields import Section, duration_s, one_of, toml_key


class Daemon(Section):
    """The daemon."""

    resync: float | str = toml_key("60s", duration_s(1, 86400), "60s", "5min", validate_default=True).says(
        "How often neod looks at the whole kernel for what sends no event, from 1s to 1d."
    )
    on_stop: str = toml_key("keep", one_of("keep", "remove"), "keep").says(
        "What a stop leaves. keep: everything stays as it is. remove: all that neod made goes."
    )
    log_level: str = toml_key("info", one_of("debug", "info", "warning", "error"), "info").says(
        "The least important messages that are logged."
    )
    log_format: str = toml_key("auto", one_of("auto", "json", "console"), "auto").says(
        "auto: for the journal under systemd, for people on a terminal. json: one object a line. console: for people."
    )


def contribute(section: Daemon, context: Context) -> Iterator[DaemonSettings]:
    """Yield the settings."""
    yield DaemonSettings(float(section.resync), section.on_stop, section.log_level, section.log_format)


TABLE: Final = Table(about="How neod itself works.", section=Daemon, contribute=contribute)
