"""``HOLD=1``: the system keeps running, with a shell prompt for each host."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from demo.console import ROOT, Console
from demo.network import HOSTS, INNER, DemoNetwork

NAMED = (*HOSTS, "gate", "core", "web", INNER)


def _rc(network: DemoNetwork, name: str) -> Path:
    """Write the start file of a shell on a host: its prompt, and neodctl for that host's neod."""
    binaries = Path(sys.executable).parent
    lines = [f"PATH={binaries}:$PATH", f"PS1='\\[\\e[36m\\]{name}#\\[\\e[0m\\] '", f"cd {ROOT}"]
    if name in HOSTS:
        runtime = network.hosts[name].runtime
        lines += [
            f'neodctl() {{ command neodctl --runtime-dir {runtime} "$@"; }}',
            f"toml={network.hosts[name].config}",
        ]
    path = network.directory / f"{name}.rc"
    path.write_text("\n".join(lines) + "\n")
    return path


def _enter(name: str, rc: Path) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{name}", "bash", "--rcfile", str(rc), "-i"]


def _from_outside(rc: Path, name: str) -> str:
    """Return what to type in another terminal."""
    user = "" if Path("/proc/self/uid_map").read_text().split()[1] == "0" else "-U --preserve-credentials "
    inner = " ".join(_enter(name, rc))
    return f"nsenter -t {os.getpid()} {user}-m {inner}"


def interact(console: Console, network: DemoNetwork) -> None:
    """Stay until ``exit``, Ctrl-D or a signal; on a terminal, offer a prompt on any host."""
    console.heading("It stays, for you to play with; the download goes on")
    places = {name: _rc(network, name) for name in NAMED}
    console.note("in another terminal, as the same user:")
    for name, rc in places.items():
        console.output(f"{name:<7} {_from_outside(rc, name)}")
    console.note("There neodctl talks to that host's neod, and $toml is its file. Try:")
    console.output("ip link del neo1; neodctl events | tail -3\nneodctl paths --watch\n$EDITOR $toml; neodctl reload")
    if not sys.stdin.isatty():
        console.note("End it with Ctrl-C.")
        signal.pause()
        return
    while chosen := _choice(places):
        subprocess.run(
            _enter(chosen, places[chosen]), check=False, env={**os.environ, "SHELL": shutil.which("bash") or "sh"}
        )


def _choice(places: dict[str, Path]) -> str | None:
    """Ask for a host; None at the end."""
    while True:
        try:
            said = input(f"\nhost ({', '.join(places)}), or exit: ").strip()
        except EOFError:
            return None
        if said in ("exit", "quit", "q"):
            return None
        if said in places:
            return said
        if said:
            print(f"  no host {said!r}")
