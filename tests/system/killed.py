"""neod that ends with SIGKILL at its n-th write of a kind: ``NEO_KILL=mount:2:before``. For tests."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neod.kernel.sysctls import ProcSysctls
from neod.netlink.libc import libc
from neod.netlink.message import NLM_F_ACK
from neod.netlink.socket import Connection

KIND, NTH, MOMENT = os.environ["NEO_KILL"].split(":")
FLAGS = slice(6, 8)  # of the header of a netlink message
seen = 0


def at(kind: str, owner: Any, name: str, counts: Callable[..., bool] = lambda *_: True) -> None:
    """Count the calls of *name* that *counts* accepts as writes of *kind*."""
    real = getattr(owner, name)

    def counted(*args: Any, **more: Any) -> Any:
        global seen
        if kind != KIND or not counts(*args):
            return real(*args, **more)
        seen += 1
        mine = seen == int(NTH)
        if mine and MOMENT == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*args, **more)
        if mine:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, counted)


def asks_for_a_change(_connection: Connection, datagram: bytes, *_: object) -> bool:
    return bool(int.from_bytes(datagram[FLAGS], sys.byteorder) & NLM_F_ACK)


at("unshare", libc, "unshare")
at("mount", libc, "mount")
at("umount", libc, "umount2")
at("netlink", Connection, "_collect", asks_for_a_change)
at("rename", Path, "rename")
at("unlink", Path, "unlink")
at("sysctl", ProcSysctls, "write")
at("file", os, "open", lambda _path, flags, *_: bool(flags & os.O_CREAT))

from neod.daemon.main import main  # noqa: E402  after what it calls was changed

sys.exit(main())
