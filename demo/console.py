"""Output that is recorded for the page, and a private mount and network namespace to run in."""

# ruff: noqa: TID251 (a demo may pause)
import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUN_DIR = Path("/run/neo-demo")
_UNSHARED = "DEMO_ISOLATED"
_PACKAGES = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "dnsmasq": "dnsmasq-base",
    "nft": "nftables",
}
_PR_SET_CHILD_SUBREAPER = 36


class Console:
    """Prints steps at a readable pace; colours only on a terminal."""

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.recorded: list[tuple[str, list[str]]] = []  # title and lines of each step, without colours

    def heading(self, text: str) -> None:
        """Print the heading of a step."""
        print(f"\n{self.paint('1', f'── {text} ')}{self.paint('2', '─' * max(0, 96 - len(text)))}", flush=True)
        self.recorded.append((text, []))
        self.pause(0.6)

    def line(self, text: str, code: str = "") -> None:
        """Print and record one line."""
        print(self.paint(code, text) if code else text, flush=True)
        if self.recorded:
            self.recorded[-1][1].append(text)

    def note(self, text: str) -> None:
        """Print a remark."""
        self.line(f"   {text}", "2")

    def command(self, prompt: str, shown: str) -> None:
        """Show a command as it would be typed."""
        print(f"{self.paint('36', prompt)} {self.paint('1', shown)}", flush=True)
        if self.recorded:
            self.recorded[-1][1].append(f"{prompt} {shown}")
        self.pause(0.3)

    def output(self, text: str) -> None:
        """Show what a command printed."""
        for line in text.rstrip().splitlines():
            self.line(f"  {line}".rstrip())

    def passed(self, text: str) -> None:
        """Print a check that passed."""
        self._mark("32", "✓", text)

    def failed(self, text: str) -> None:
        """Print a check that failed."""
        self._mark("31", "✗", text)

    def _mark(self, code: str, mark: str, text: str) -> None:
        print(f"  {self.paint(code, mark)} {text}", flush=True)
        if self.recorded:
            self.recorded[-1][1].append(f"  {mark} {text}")

    def pause(self, seconds: float) -> None:
        """Leave time to read."""
        time.sleep(seconds * self.pace)

    def paint(self, code: str, text: str) -> str:
        """Colour a text on a terminal."""
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def check_tools() -> None:
    """Exit with the command that installs what is missing."""
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [tool for tool in _PACKAGES if not shutil.which(tool)]
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[tool] for tool in missing))
        sys.exit(f"The demo needs {', '.join(missing)}. Run:\n\n    sudo apt-get install --yes {packages}\n")


def isolate(argv: Sequence[str]) -> None:
    """Re-execute in private network and mount namespaces, with a private ``/run``; exit if not permitted.

    Root needs no more than a mount and a network namespace; others a user
    namespace around them, where the kernel permits it.
    """
    if os.environ.get(_UNSHARED):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        RUN_DIR.mkdir()
        os.environ["TMPDIR"] = str(RUN_DIR)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        return
    ways = [["unshare", "--user", "--map-root-user", "--net", "--mount"]]
    if os.geteuid() == 0:
        ways.insert(0, ["unshare", "--net", "--mount"])
    for enter in ways:
        tried = subprocess.run([*enter, "sh", "-c", _TRY], capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            os.environ[_UNSHARED] = "1"
            os.execvp("unshare", [*enter, *argv])
    sys.exit(
        f"The demo makes network namespaces, which this user may not do here:\n\n    {tried.stderr.strip()}\n\n"
        f"Run it as root:\n\n    sudo make -C {ROOT} demo\n"
    )


_TRY = "mount -t tmpfs tmpfs /run && ip netns add neo-try && ip -n neo-try link set lo up"


def other_processes() -> list[int]:
    """Return all other processes in our private mount namespace."""
    ours, found = Path("/proc/self/ns/mnt").readlink(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and (entry / "ns/mnt").readlink() == ours:
                found.append(int(entry.name))
        except OSError:  # it ended, or is not ours to look at
            continue
    return found


def kill_all(timeout_s: float = 5.0) -> list[int]:
    """Kill all other processes of the demo; return those that remain."""
    assert os.environ.get(_UNSHARED), "only in a private namespace"
    limit = time.monotonic() + timeout_s
    while (left := other_processes()) and time.monotonic() < limit:
        for pid in left:
            try:
                os.kill(pid, 9)
                os.waitpid(pid, os.WNOHANG)
            except OSError:
                continue
        time.sleep(0.02)
    return left
