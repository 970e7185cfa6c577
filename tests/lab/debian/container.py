"""A container in which Debian's own systemd is process 1, on this kernel, wired to a LAN of the laboratory.

The container's network namespace also has a name on the host, so that the
laboratory's judge and probes work on it as on any other.

The processes: a holder, whose mount namespace keeps the tmpfs that the
container writes to over a reboot; and systemd-nspawn in a process namespace
of its own, which takes everything with it when it is killed.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

from tests.lab import netns
from tests.lab.debian.trees import Unavailable
from tests.lab.netns import die_with_parent, poll

HOLD = 'mount -t tmpfs -o mode=755 tmpfs "$1" && mkdir "$1/up" "$1/work" "$1/root" && echo ready && exec sleep infinity'

# A control group of its own (nspawn makes "payload" and "supervisor" in the one it is started in), and cgroup2 alone,
# whatever the host has. /run/systemd is a tmpfs: nspawn writes there.
BOOT = r"""
set -e
echo $$ >"$GROUP/cgroup.procs"
exec unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash -ec '
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mountpoint -q "$SCRATCH/root" || mount -t overlay overlay -o "$OVERLAY" "$SCRATCH/root"
    mkdir -p /run/systemd
    mount -t tmpfs tmpfs /run/systemd
    exec systemd-nspawn --quiet --directory="$SCRATCH/root" --machine=neobox --register=no --keep-unit \
        --private-network --link-journal=no --console=pipe --resolv-conf=off --timezone=off \
        --system-call-filter=bpf --boot'
"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
REBOOT = 133
"""Exit status of systemd-nspawn when the container asked for a reboot."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command in the container came to."""

    status: int
    out: str
    err: str


class Container:
    """One container on top of *lower* (upper-most tree first), none of which it writes to."""

    def __init__(self, *lower: Path) -> None:
        self.ns = netns.unique("box")
        self._directory = Path(tempfile.gettempdir(), self.ns)
        self._directory.mkdir()
        self.scratch = self._directory / "scratch"
        self.scratch.mkdir()
        self._group = cgroup2() / self.ns
        self._lower = ":".join(str(path.resolve()) for path in lower)
        self._machine_id = uuid.uuid4().hex
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._hold()

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    def _hold(self) -> None:
        argv = ["unshare", "--mount", "--propagation", "private", "bash", "-c", HOLD, "hold", str(self.scratch)]
        self._holder = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=die_with_parent
        )
        assert self._holder.stdout
        if self._holder.stdout.readline() != b"ready\n":
            raise RuntimeError("no place for what the container writes")
        self._group.mkdir()
        self.write("/etc/machine-id", f"{self._machine_id}\n", before_boot=True)

    def start(self) -> None:
        """Boot; return as soon as systemd is there. It may not be up yet: see :meth:`wait_up`."""
        overlay = f"lowerdir={self._lower},upperdir={self.scratch}/up,workdir={self.scratch}/work"
        env = {
            "PATH": os.environ["PATH"], "GROUP": str(self._group), "SCRATCH": str(self.scratch), "OVERLAY": overlay,
            "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        }  # fmt: skip
        with (self._directory / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "bash", "-c", BOOT],
                env=env, stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=die_with_parent,
            )  # fmt: skip
        self._init = poll(self._find_init, 20, why="systemd started")
        netns.run("ip", "netns", "attach", self.ns, str(self._init))
        poll(lambda: self.run("systemctl is-system-running").out.strip(), 20, why="systemd answers")

    def wait_up(self) -> None:
        """Wait until every unit that was to be started is."""
        state = self.run("systemctl is-system-running --wait").out.strip()
        if state != "running":
            raise RuntimeError(f"systemd is {state}: {self.run('systemctl --failed --no-legend').out}")

    def _find_init(self) -> int:
        """Return this host's number of the container's process 1; 0 as long as there is none."""
        if self._nspawn and self._nspawn.poll() is not None:
            raise RuntimeError(f"the container ended: {self.console()}")
        with contextlib.suppress(OSError):
            for pid in (self._group / "payload/init.scope/cgroup.procs").read_text().split():
                status = Path(f"/proc/{pid}/status").read_text()
                if re.search(r"^NSpid:.*\t1$", status, re.M) and "systemd" in status.partition("\n")[0]:
                    return int(pid)
        return 0

    def reboot(self) -> None:
        """Shut down in order and boot again on the same files. Wires are cut."""
        assert self._nspawn
        self.run("systemctl reboot --no-block")
        if (status := self._nspawn.wait(60)) != REBOOT:
            raise RuntimeError(f"no reboot, but exit status {status}: {self.console()}")
        netns.run("ip", "netns", "del", self.ns)
        self.start()

    def close(self) -> None:
        """Kill everything in it and forget what it wrote."""
        for process in (self._nspawn, self._holder):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        with contextlib.suppress(OSError):
            (self._group / "cgroup.kill").write_text("1")
        poll(self._emptied, 10, why="the container's control group is empty")
        netns.run("ip", "netns", "del", self.ns, check=False)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _emptied(self) -> bool:
        with contextlib.suppress(OSError):
            for directory, _, _ in os.walk(self._group, topdown=False):
                os.rmdir(directory)
        return not self._group.exists()

    # ── use ─────────────────────────────────────────────────────────────────────────────────────

    def run(self, script: str, *argv: str, timeout_s: float = 60.0) -> Answer:
        """Run a shell script inside, to its end or *timeout_s* (status 124)."""
        inside = ["nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", f"--wd=/proc/{self._init}/root"]
        env = ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"]
        process = subprocess.Popen(
            [*inside, *env, "/bin/bash", "-c", script, "box", *argv],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            out, err = process.communicate(timeout=timeout_s)
            return Answer(process.returncode, out, err)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return Answer(124, out, err)

    def ok(self, script: str, *argv: str, timeout_s: float = 60.0) -> str:
        """Run a script that must succeed, and return what it printed."""
        answer = self.run(script, *argv, timeout_s=timeout_s)
        if answer.status:
            raise RuntimeError(f"{script}: exit {answer.status}: {answer.out}{answer.err}")
        return answer.out

    def write(self, path: str, text: str, before_boot: bool = False) -> None:
        """Write a file inside, with the folders above it."""
        root = f"/proc/{self._holder.pid}/root{self.scratch}/up" if before_boot else f"/proc/{self._init}/root"
        place = Path(root + path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file of the host inside."""
        shutil.copy(source, f"/proc/{self._init}/root{path}")

    def console(self) -> str:
        """Return the end of what was printed on the console."""
        return (self._directory / "console.log").read_text(errors="replace")[-3000:]

    @property
    def pid(self) -> int:
        """This host's number of its process 1: whom to give the end of a veth."""
        return self._init


def cgroup2() -> Path:
    """Return where the unified hierarchy is mounted, for control groups of our own to be made there."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    places = [Path(mount[1]) for mount in mounts if mount[2] == "cgroup2" and os.access(mount[1], os.W_OK)]
    if not places:
        raise Unavailable("no control groups (cgroup2) that one may write to")
    return places[0]
