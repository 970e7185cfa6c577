"""``[metrics]``: numbers for Prometheus."""

from collections.abc import Iterator
from typing import Final

from neod.features.intents import Intents
from neod.features.listening import listening
from neod.features.metrics.compile import MetricsSettings
from neod.features.table import Table
from neod.features.validation.context import Context
from neod.features.validation.fields import Listen, Section, toml_key


class Metrics(Section):
    """The exporter."""

    listen: str = toml_key("", Listen, "127.0.0.1:9110").says(
        "Address and port of neod's page, http://ADDRESS:PORT/metrics; neo-race's is at the next port. Port 0 takes "
        "free ones, which neodctl status --json and the logs tell. Absent: nothing is served."
    )


def contribute(section: Metrics, context: Context) -> Iterator[object]:
    """Yield the address of the page, and where it and that of neo-race listen."""
    yield MetricsSettings(section.listen)
    if section.listen:
        host, _, port = section.listen.rpartition(":")
        pages = (0, 1) if int(port) and context.sections.get("races") else (0,)
        for further in pages:
            yield listening(host.strip("[]"), int(port) + further, "", ("metrics", "listen"), page=True)


def _idle(section: Metrics, intents: Intents) -> str:
    return "" if section.listen else "without listen nothing is served"


TABLE: Final = Table(about="Metrics for Prometheus.", section=Metrics, contribute=contribute, idle=_idle)
