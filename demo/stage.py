"""What every demo needs: a voice, a prompt, and the right to make namespaces."""

# ruff: noqa: TID251 (a demo may pause)
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_UNSHARED = "NEO_DEMO_UNSHARED"
_PACKAGES = {"ip": "iproute2", "nsenter": "util-linux", "dnsmasq": "dnsmasq-base"}


class Stage:
    """Prints a scene at a pace that can be read; colours only on a terminal."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def say(self, text: str) -> None:
        """Tell what comes next."""
        print(f"\n{self._paint('1', f'── {text} ')}{self._paint('2', '─' * max(0, 76 - len(text)))}")
        self.pause(0.8)

    def note(self, text: str) -> None:
        """Say something small."""
        print(self._paint("2", f"   {text}"), flush=True)

    def command(self, prompt: str, shown: str) -> None:
        """Show a command as it would be typed."""
        print(f"{self._paint('36', prompt)} {self._paint('1', shown)}", flush=True)
        self.pause(0.3)

    def output(self, text: str) -> None:
        """Show what a command printed."""
        print("\n".join(f"  {line}".rstrip() for line in text.rstrip().splitlines()), flush=True)

    def good(self, text: str) -> None:
        """Report something that went as it should."""
        print(f"  {self._paint('32', '✓')} {text}", flush=True)

    def pause(self, seconds: float) -> None:
        """Leave time to read."""
        time.sleep(seconds * self._pace)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text


def need_tools() -> None:
    """End with the exact command to run when a program is missing."""
    missing = [
        tool for tool in _PACKAGES if not shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    ]
    if missing:
        packages = " ".join(_PACKAGES[tool] for tool in missing)
        sys.exit(f"The demo needs {', '.join(missing)}. Run:\n\n    sudo apt-get install --yes {packages}\n")
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def become_root(argv: Sequence[str]) -> None:
    """Go on as root of a user namespace of our own; end with the exact command when that is not allowed.

    There, ``/run`` is ours alone, so that ``ip netns`` works and nobody else sees it.
    """
    if os.environ.get(_UNSHARED):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        return
    if os.geteuid() == 0:
        return
    enter = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    allowed = subprocess.run([*enter, "mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, check=False)
    if allowed.returncode:
        sys.exit(f"The demo makes network namespaces, which needs root here. Run:\n\n    sudo make -C {ROOT} demo\n")
    os.environ[_UNSHARED] = "1"
    os.execvp("unshare", [*enter, *argv])
