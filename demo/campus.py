"""``python -m demo.campus``: eight leased addresses on one NIC, broken by hand and repaired by neod."""

# ruff: noqa: TID251 (a demo may look at the clock)
import argparse
import math
import subprocess
import sys
import time

from tests.lab import Campus, Snapshot, exit_on_sigterm, poll, sweep

from demo.stage import Stage, become_root, need_tools

N = 8


def identities(seen: Snapshot) -> dict[str, tuple[str, str | None]]:
    """Return MAC and address of every interface of ours."""
    return {link.name: (link.mac, seen.address(link.name)) for link in seen.owned().links}


class Campaign:
    """The scenes, in order, on one campus."""

    def __init__(self, stage: Stage, campus: Campus) -> None:
        self.stage, self.campus, self.host = stage, campus, campus.host
        self.broken_at = 0.0  # CLOCK_MONOTONIC, seconds

    def play(self) -> None:
        """Play everything."""
        self.file()
        self.start()
        self.sabotage()
        self.events()
        self.second_pass()
        self.down()

    def file(self) -> None:
        """Show what is asked for."""
        self.host.write_config(self.campus.file())
        self.stage.say("The file: eight macvlans on one NIC, each with a lease of its own")
        self.stage.command("host$", "cat neo.toml")
        self.stage.output(self.host.config.read_text())
        self.stage.note(f"On the other end of {self.host.nic}: a gateway, and dnsmasq with addresses to lease.")
        self.stage.pause(1.5)

    def start(self) -> None:
        """Cold start."""
        self.stage.say("neod makes it so")
        self.stage.command("host#", "neod &")
        started = time.monotonic()
        self.host.start_neod()
        self.campus.wait_converged()
        took_s = time.monotonic() - started
        self.stage.good(
            f"{N} links, {N} leases, {N} rules and {N} routing tables in {took_s:.2f} s (asked of the kernel)"
        )
        self.ctl("status")
        self.stage.pause(3)

    def sabotage(self) -> None:
        """Break one thing after another."""
        self.stage.say("Somebody deletes things")
        self.broken_at = time.monotonic()
        rule = next(r for r in self.host.look().owned().rules if r.table == 2)
        self.break_it("ip link del neo1")
        self.break_it(f"ip rule del from {rule.source.removesuffix('/32')} table 2")
        self.break_it("ip route del default table 3")
        self.break_it("ip route flush table 4")
        self.break_it("ip address flush dev neo5")
        self.break_it("ip link set neo6 address 02:00:00:00:66:66")
        self.break_it("ip link set neo7 down")
        self.break_it("ip link set neo8 name mine")
        self.stage.pause(1)

    def break_it(self, command: str) -> None:
        """Run one command of a saboteur and wait until the kernel holds what it held before."""
        self.stage.command("someone#", command)
        before = identities(self.host.look())
        self.host.ip(*command.split()[1:])
        poll(lambda: not self.campus.converged() and identities(self.host.look()) == before, 12, why="repaired")
        self.stage.good("repaired: every link, MAC, address, rule and route is as before")
        self.stage.pause(0.7)

    def events(self) -> None:
        """Show who did what, and how long the repair took."""
        self.stage.say("What happened, who did it, what neod did, how long it took")
        self.ctl("events", "--since", f"{math.ceil(time.monotonic() - self.broken_at)}s")
        self.stage.pause(4)
        self.ctl("why", "neo1")
        self.stage.pause(3)

    def second_pass(self) -> None:
        """A pass with nothing to do."""
        self.stage.say("One more full pass: there is nothing to write")
        self.ctl("apply")
        self.stage.pause(1.5)

    def down(self) -> None:
        """Leave the host as it was."""
        self.stage.say("And away: exactly what is owned is removed")
        self.ctl("down", last=6)
        poll(lambda: not self.host.look().owned().links, 10)
        self.stage.command("host$", "ip -brief link")
        self.stage.output(self.host.ip("-brief", "link"))
        self.host.stop()
        self.stage.pause(1)

    def ctl(self, *argv: str, last: int = 60) -> None:
        """Run ``neodctl`` and show what it says, or the end of it."""
        self.stage.command("host$", " ".join(("neodctl", *argv)))
        answer = self.host.ctl(*argv)
        lines = (answer.out + answer.err).splitlines()
        if len(lines) > last:
            self.stage.note(f"… {len(lines) - last} lines …")
        self.stage.output("\n".join(lines[-last:]))


def main() -> None:
    """Play the demo and leave nothing behind, whatever happens."""
    parser = argparse.ArgumentParser(prog="python -m demo.campus", description=__doc__)
    parser.add_argument("--pace", type=float, default=1.0, help="0: no pauses; 2: twice as slow (default 1)")
    arguments = parser.parse_args()
    need_tools()
    become_root([sys.executable, "-m", "demo.campus", *sys.argv[1:]])
    exit_on_sigterm()
    sweep()
    stage = Stage(arguments.pace)
    try:
        with Campus(N) as campus:
            Campaign(stage, campus).play()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; everything is cleaned up")
    except (TimeoutError, RuntimeError, subprocess.TimeoutExpired) as trouble:
        sys.exit(f"\nthe demo failed: {trouble}")
    stage.good("cleaned up: no namespace, process or file is left\n")


if __name__ == "__main__":
    main()
