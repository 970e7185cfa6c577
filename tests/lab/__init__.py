"""The laboratory: hosts, LANs and DHCP servers in namespaces, and a judge that reads the kernel.

It knows the product only by its contract: a file, two commands, signals, and
the marks on what it owns. Nothing here imports it.
"""

from tests.lab.campus import Campus
from tests.lab.dhcp import Plan
from tests.lab.host import Answer, Host
from tests.lab.judge import Judge, Wanted
from tests.lab.kernel import MARK, Snapshot, look
from tests.lab.netns import exit_on_sigterm, ip, poll, sweep

__all__ = [
    "MARK",
    "Answer",
    "Campus",
    "Host",
    "Judge",
    "Plan",
    "Snapshot",
    "Wanted",
    "exit_on_sigterm",
    "ip",
    "look",
    "poll",
    "sweep",
]
