"""``[daemon]``: how neod itself works."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field

from neod.features.daemon.compile import DaemonSettings
from neod.features.table import Table
from neod.features.validation.context import Context
from neod.features.validation.fields import Section, duration_s, one_of


class Daemon(Section):
    """The daemon."""

    resync: Annotated[
        float | str,
        duration_s(1, 86400),
        Field(
            description="How often neod looks at the whole kernel for what sends no event, from 1s to 1d.",
            examples=["60s", "5min"],
            validate_default=True,
        ),
    ] = "60s"
    on_stop: Annotated[
        str,
        one_of("keep", "remove"),
        Field(
            description="What a stop leaves. keep: everything stays as it is. remove: all that neod made goes.",
            examples=["keep"],
        ),
    ] = "keep"
    log_level: Annotated[
        str,
        one_of("debug", "info", "warning", "error"),
        Field(description="The least important messages that are logged.", examples=["info"]),
    ] = "info"
    log_format: Annotated[
        str,
        one_of("auto", "json", "console"),
        Field(
            description="auto: for the journal under systemd, for people on a terminal. json: one object a line. "
            "console: for people.",
            examples=["auto"],
        ),
    ] = "auto"


def contribute(section: Daemon, context: Context) -> Iterator[DaemonSettings]:
    """Yield the settings."""
    yield DaemonSettings(float(section.resync), section.on_stop, section.log_level, section.log_format)


TABLE: Final = Table(about="How neod itself works.", section=Daemon, contribute=contribute)
