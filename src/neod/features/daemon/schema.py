"""``[daemon]``: how neod itself works."""

from typing import Annotated, Final

from pydantic import Field

from neod.features.context import Context
from neod.features.fields import Section, duration_s, word
from neod.features.intents import DaemonSettings, Intents
from neod.features.table import Table


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
        word("keep", "remove"),
        Field(
            description="What a stop leaves. keep: everything stays as it is. remove: all that neod made goes.",
            examples=["keep"],
        ),
    ] = "keep"
    log_level: Annotated[
        str,
        word("debug", "info", "warning", "error"),
        Field(description="The least important messages that are logged.", examples=["info"]),
    ] = "info"
    log_format: Annotated[
        str,
        word("auto", "json", "console"),
        Field(
            description="auto: for the journal under systemd, for people on a terminal. json: one object a line. "
            "console: for people.",
            examples=["auto"],
        ),
    ] = "auto"


def intents(section: Daemon, context: Context) -> Intents:
    """Return the settings."""
    settings = DaemonSettings(float(section.resync), section.on_stop, section.log_level, section.log_format)
    return Intents(fragments=(), daemon=settings)


TABLE: Final = Table(name="daemon", about="How neod itself works.", section=Daemon, intents=intents)
