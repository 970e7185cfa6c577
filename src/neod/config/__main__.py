"""``python -m neod.config ANSWER FILE``: read the file and write what it asks for to standard output.

The daemon runs this as a child. A hostile or absurd file can then cost a bounded amount of time and memory, in a
process that does nothing else, and the daemon never imports what validation needs. ``reader`` has the format.
"""

import gc
import os
import pickle
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Final

from neod.config.reader import HEADER
from neod.features.daemon.compile import DaemonSettings
from neod.features.intents import Intents
from neod.features.metrics.compile import MetricsSettings
from neod.features.parts import PathInfo
from neod.features.races.compile import RaceRequest
from neod.model.errors import ConfigError

MEMORY_BYTES: Final = 1 << 30
CPU_S: Final = 10
IMPORTS_CPU_S: Final = 0.5
"""What a machine of today needs at most for our imports; one that needs ten times that may take ten times as long."""


def allowed_cpu_s(used_s: float) -> int:
    """Return after how much processor time to give up, when the imports alone took *used_s*.

    A file is no worse for being read on a slow machine, and one that is refused at the first start is not tried again.
    """
    return round(used_s + CPU_S * max(1.0, used_s / IMPORTS_CPU_S))


def races(intents: Intents) -> dict[str, object]:
    """Return what neo-race takes from the file, in plain values: it imports none of our classes."""
    daemon = intents.settings(DaemonSettings)
    return {
        "races": tuple(race.settings for race in intents.of(RaceRequest)),
        "paths": tuple(path.name for path in intents.of(PathInfo)),
        "log_level": daemon.log_level,
        "log_format": daemon.log_format,
        "metrics_listen": intents.settings(MetricsSettings).listen,
        "warnings": intents.warnings,
    }


ANSWERS: Final[Mapping[str, Callable[[Intents], object]]] = {"intents": lambda intents: intents, "races": races}
"""What a program may ask for."""


def answer(path: str, environ: Mapping[str, str], kind: str = "intents") -> tuple[str, object]:
    """Return the verdict on the file at *path*, and what it asks for or what is wrong."""
    from neod.config.load import load

    try:
        return "ok", ANSWERS[kind](load(path, environ))
    except ConfigError as error:
        return "error", (error.problems, error.excerpts)
    except MemoryError:
        return "error", ((f"{path!a}: takes more than {MEMORY_BYTES >> 20} MiB to read; make it smaller",),)


def main(arguments: Sequence[str]) -> None:
    """Limit ourselves, read the file, write the answer."""
    gc.disable()  # nothing here lives long enough to be worth looking for: a tenth of the time
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # none is wanted, and looking for them is a tenth of the time
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    import_module("neod.config.load")
    used = resource.getrusage(resource.RUSAGE_SELF)
    most_s = allowed_cpu_s(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (most_s, most_s + 1))
    payload = pickle.dumps(answer(arguments[1], os.environ, arguments[0]), protocol=pickle.HIGHEST_PROTOCOL)
    sys.stdout.buffer.write(HEADER.pack(len(payload)) + payload)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
    os._exit(0)  # the answer is out; taking the interpreter down would take another tenth of the time
