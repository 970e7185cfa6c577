"""Two relays and a proxy server on the kernel, in namespaces, and a client that connects through them."""

from typing import Any

from tests.lab.host import Answer, Host
from tests.lab.netns import poll
from tests.lab.relays import NETWORKS, Relays, address, echo
from tests.lab.taps import Writes
from tests.system.scenarios.on_campus import shell
from tests.system.scenarios.stage import Refused, neodctl

RULESET = "nft -s list ruleset; iptables-legacy-save; ip6tables-legacy-save"


class OnRelays:
    """The hosts relay1, relay2 and proxy; ``host NAME`` says which one is meant."""

    def __init__(self) -> None:
        self._relays = Relays()
        self._name = "relay1"
        self._writes: Writes | None = None

    def __enter__(self) -> "OnRelays":
        self._relays.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._writes is not None:
            self._writes.__exit__()
        self._relays.close()

    @property
    def _host(self) -> Host:
        return self._relays.hosts[self._name]

    def variables(self) -> dict[str, str]:
        """Return the namespace that the proxy's neod makes, and the addresses of all hosts."""
        return {"INNER": self._relays.inner} | {name.upper(): address(name) for name in NETWORKS}

    def host(self, name: str) -> None:
        """Let what follows be about another host."""
        if name not in self._relays.hosts:
            raise Refused(f"there is no host {name}: {', '.join(self._relays.hosts)}")
        self._name = name

    def file(self, text: str) -> None:
        """Put the host's file in place."""
        self._host.write_config(text)

    def start(self) -> None:
        """Start neod on this host, and wait until it answers or has ended."""
        host = self._host
        neod = host.start_neod()
        poll(lambda: not neod.running or host.notified("READY=1"), 20, 0.01, "READY")

    def ended(self) -> tuple[int, str] | None:
        """Return exit status and words of a neod that has ended."""
        neod = self._host.neod
        assert neod is not None
        return None if neod.running else (neod.process.wait(), neod.printed())

    def stop(self) -> None:
        """End neod as systemd does."""
        self._host.stop()

    def kill(self) -> None:
        """End neod without giving it a word."""
        self._host.kill9()

    def ctl(self, *argv: str) -> Answer:
        """Run ``neodctl`` for this host."""
        return neodctl(self._host.runtime, *argv)

    def run(self, command: str) -> str:
        """Run a command on this host."""
        return shell(self._host.ns, command)

    def lan(self, command: str) -> str:
        """There is none."""
        raise Refused("no lan here")

    def carrier(self, up: bool) -> None:
        """There is no cable to pull."""
        raise Refused("no carrier here")

    def dhcp(self, word: str, value: str) -> None:
        """Nothing is leased."""
        raise Refused("no dhcp here")

    def problems(self) -> list[str]:
        """Judge nothing: ``expect answer through …`` does."""
        return []

    def holds(self, whose: str) -> list[str]:
        """Return the lines of all rule sets, with the marks of neo or without."""
        shown = shell(self._host.ns, RULESET).splitlines()
        lines = [line for line in shown if not line.startswith(("#", ":", "COMMIT", "*"))]
        return [line for line in lines if ("NEO-" in line or "neo" in line) == (whose == "owned")]

    def difference(self, before: Any, after: Any) -> list[str]:
        """Return lines that are only in one of two rule sets."""
        lost, new = ([line for line in one if line not in other] for one, other in ((before, after), (after, before)))
        return [*(f"- {line}" for line in lost), *(f"+ {line}" for line in new)]

    def watch(self) -> None:
        """Begin to count what anybody changes with rtnetlink, and remember the rules with their handles."""
        self._writes = Writes(self._host.ns)
        self._handles = self._rules()

    def written(self) -> list[str]:
        """Return what was changed since: rules that were written anew have other handles or counters from zero."""
        assert self._writes is not None, "`watch` comes first"
        told = [f"{count} × {name}" for name, count in self._writes.count().items()]
        return told + self.difference(self._handles, self._rules())

    def _rules(self) -> list[str]:
        return shell(self._host.ns, "nft -s -a list ruleset; iptables-legacy-save | grep ^-A || true").splitlines()

    def reaches(self, through: str) -> str:
        """Connect to port 443 of a host as the client; whoever listens in the namespace answers."""
        try:
            with self._relays.listen(protocol=0) as listener:
                listener.settimeout(1)
                with self._relays.connect(address(through), protocol=0) as client, listener.accept()[0] as there:
                    return echo(client, there).decode()
        except OSError as error:
            return str(error)

    def tail(self) -> str:
        """Return the end of neod's log."""
        return self._host.tail()
