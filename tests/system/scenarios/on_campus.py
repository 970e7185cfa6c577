"""A campus host on the kernel, in namespaces."""

from ipaddress import IPv4Address
from typing import Any

from tests.lab import Campus, ip, look
from tests.lab.host import Answer
from tests.lab.judge import Judge, Wanted
from tests.lab.kernel import Snapshot
from tests.lab.netns import poll, run
from tests.lab.taps import Writes
from tests.system.scenarios.stage import Refused, neodctl


def shell(ns: str, command: str) -> str:
    """Run a shell command in a namespace; a failure shows what it printed."""
    return run("nsenter", f"--net=/run/netns/{ns}", "sh", "-c", command).stdout


class OnCampus:
    """A host with the NIC ens3, and a gateway that leases addresses, or none."""

    def __init__(self, server: str = "dnsmasq") -> None:
        self._campus = Campus(1, None if server == "none" else server)  # type: ignore[arg-type]
        self._writes: Writes | None = None

    def __enter__(self) -> "OnCampus":
        self._campus.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_watching()
        self._campus.close()

    def variables(self) -> dict[str, str]:
        """Return where the host's file and its state are."""
        return {"FILE": str(self._campus.host.config), "STATE": str(self._campus.host.state)}

    def host(self, name: str) -> None:
        """There is one."""
        raise Refused(f"a campus has one host, and no {name}")

    def file(self, text: str) -> None:
        """Put the host's file in place."""
        self._campus.host.write_config(text)

    def start(self) -> None:
        """Start neod, and wait until it answers or has ended."""
        host = self._campus.host
        neod = host.start_neod()
        poll(lambda: not neod.running or host.notified("READY=1"), 20, 0.01, "READY")

    def ended(self) -> tuple[int, str] | None:
        """Return exit status and words of a neod that has ended."""
        neod = self._campus.host.neod
        assert neod is not None
        return None if neod.running else (neod.process.wait(), neod.printed())

    def stop(self) -> None:
        """End neod as systemd does."""
        self._campus.host.stop()

    def kill(self) -> None:
        """End neod without giving it a word."""
        self._campus.host.kill9()

    def ctl(self, *argv: str) -> Answer:
        """Run ``neodctl``."""
        return neodctl(self._campus.host.runtime, *argv)

    def run(self, command: str) -> str:
        """Run a command on the host."""
        return shell(self._campus.host.ns, command)

    def lan(self, command: str) -> str:
        """Run a command on the gateway."""
        return shell(self._campus.lan, command)

    def carrier(self, up: bool) -> None:
        """Pull the cable at the far end, or put it back, and wait until the host has noticed."""
        self._campus.carrier(up)
        nic = self._campus.host.nic
        poll(lambda: ("NO-CARRIER" in ip(self._campus.host.ns, "link", "show", nic)) != up, 5, why="carrier")

    def dhcp(self, word: str, value: str) -> None:
        """Tell the DHCP server what to do from now on."""
        if word == "start":
            self._campus.start_server(value)  # type: ignore[arg-type]
        elif word == "stop":
            self._campus.stop_server()
        elif word == "gateway":
            self._campus.scripted.gateway = IPv4Address(value)
        elif word == "renumber":
            self._campus.scripted.first += int(value)
        elif word == "renew":
            self._campus.scripted.renew_s = int(value.removesuffix("s"))
        elif word in ("mute", "refuse"):
            setattr(self._campus.scripted, word, value == "on")
        else:
            raise Refused(f"`dhcp {word}`")

    def problems(self) -> list[str]:
        """Return what is not as it should be of each leased macvlan, by the judge of the lab."""
        answer = self.ctl("status", "--json")
        if answer.status not in (0, 1):
            return [f"neodctl status: {answer.status}: {answer.err}"]
        rows = answer.json["paths"]
        leased = {row["name"]: row["table"] for row in rows if row["ipv4"] == "dhcp"}
        if not leased or len(leased) != len(rows):
            return []  # others have routes in tables of ours, which this judge takes for surplus
        network, server = self._campus.plan.network, self._campus.server
        wanted = Wanted(
            names=tuple(leased),
            parent=self._campus.host.nic,
            network=network,
            gateway=getattr(server, "gateway", self._campus.plan.gateway),
            pool=(network[2], network[-2]),
        )
        return Judge(wanted).problems(self._campus.host.look())

    def holds(self, whose: str) -> Snapshot:
        """Return the part of the namespace that is owned or foreign."""
        seen = look(self._campus.host.ns)
        return seen.owned() if whose == "owned" else seen.foreign()

    def difference(self, before: Any, after: Any) -> list[str]:
        """Return what is only in one of two snapshots."""
        return list(before.difference(after))

    def watch(self) -> None:
        """Begin to count what anybody changes."""
        self._stop_watching()
        self._writes = Writes(self._campus.host.ns)

    def written(self) -> list[str]:
        """Return what was changed, by the kernel's announcements."""
        assert self._writes is not None, "`watch` comes first"
        return [f"{count} × {name}" for name, count in self._writes.count().items()]

    def _stop_watching(self) -> None:
        if self._writes is not None:
            self._writes.__exit__()
        self._writes = None

    def reaches(self, through: str) -> str:
        """There is no proxy."""
        raise Refused("a campus has no relays")

    def tail(self) -> str:
        """Return the end of neod's log."""
        return self._campus.host.tail()
