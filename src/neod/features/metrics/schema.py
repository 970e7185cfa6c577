"""``[metrics]``: numbers for Prometheus."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field

from neod.features.metrics.compile import MetricsSettings
from neod.features.table import Table
from neod.features.validation.context import Context
from neod.features.validation.fields import Listen, Section


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


def contribute(section: Metrics, context: Context) -> Iterator[MetricsSettings]:
    """Yield where to listen."""
    yield MetricsSettings(section.listen)


TABLE: Final = Table(about="Metrics for Prometheus.", section=Metrics, contribute=contribute)
