"""``[metrics]``: numbers for Prometheus."""

from typing import Annotated, Final

from pydantic import Field

from neod.features.context import Context
from neod.features.fields import Listen, Section
from neod.features.intents import DaemonSettings, Intents
from neod.features.table import Table


class Metrics(Section):
    """The exporter."""

    listen: Annotated[
        str,
        Listen,
        Field(
            description="Address and port of neod's page, http://ADDRESS:PORT/metrics; neo-race's is at the next port. "
            "Port 0 takes free ones, which neodctl status --json and the logs tell. Absent: nothing is served.",
            examples=["127.0.0.1:9110"],
        ),
    ] = ""


def intents(section: Metrics, context: Context) -> Intents:
    """Return where to listen."""
    return Intents(fragments=(), daemon=DaemonSettings(metrics_listen=section.listen))


TABLE: Final = Table(name="metrics", about="Metrics for Prometheus.", section=Metrics, intents=intents)
