"""The hosts' files: the very examples of ``etc/examples``, and what a laboratory needs beside them, said one by one."""

from dataclasses import dataclass

from tests.lab.netns import run

from demo.stage import ROOT

EXAMPLES = {"campus": "campus.toml", "relay1": "relay.toml", "relay2": "relay.toml", "server": "proxy.toml"}
BUFFERS = '"net.ipv4.tcp_{}" = "4096 4194304 67108864"'
QUEUES = '"net.ipv4.tcp_notsent_lowat" = "32768", "net.ipv4.tcp_congestion_control" = "reno"'
"""With a rate that is guessed too high for one path, megabytes would wait there, and hold up all that came earlier."""


@dataclass(frozen=True, slots=True)
class Change:
    """One departure from an example: *after* is put in place of *before*, or at the end."""

    before: str
    after: str
    why: str

    def apply(self, text: str) -> str:
        """Return the text with the change; raise ValueError when the example has not what is replaced."""
        if self.before not in text:
            raise ValueError(f"{self.before!r} is not in the example")
        return text.replace(self.before, self.after, 1) if self.before else f"{text.rstrip()}\n\n{self.after}\n"


def has_dummy() -> bool:
    """Whether this kernel has the dummy driver."""
    made = run("ip", "link", "add", "neo-try", "type", "dummy", check=False).returncode == 0
    if made:
        run("ip", "link", "del", "neo-try")
    return made


def changes(host: str) -> list[Change]:
    """Return the departures from the example of a host."""
    example = (ROOT / "etc/examples" / EXAMPLES[host]).read_text()
    found = []
    if host == "campus":
        if "mptcp     = true" not in example:
            last = example.rstrip().splitlines()[-1]  # the upstreams of the race
            found.append(Change(last, f"{last}\nmptcp     = true", "neo-race speaks MPTCP"))
        buffers = "\n".join(BUFFERS.format(name) for name in ("rmem", "wmem"))
        found.append(Change("", f"[sysctl]\n{buffers}", "room for many paths (docs/mptcp.md)"))
    if host == "server":
        if not has_dummy():
            found.append(Change('relay_link = "dummy"', 'relay_link = "bridge"', "this kernel has no dummy driver"))
        inside = ", ".join((*(BUFFERS.format(name) for name in ("rmem", "wmem")), QUEUES))
        last = 'mptcp   = ["signal"]\n'
        found.append(
            Change(last, f"{last}sysctl  = {{ {inside} }}\n", "room for many paths, and no long queue on one of them")
        )
        if "[mptcp]" not in example:
            found.append(Change("", '[mptcp]\npath_manager = "neod"', "more than 8 subflows a connection"))
    return found


def text_of(host: str) -> str:
    """Return the file of a host."""
    text = (ROOT / "etc/examples" / EXAMPLES[host]).read_text()
    for change in changes(host):
        text = change.apply(text)
    return text


def bare(text: str) -> str:
    """Return a file without its comments, for showing."""
    lines = [line.split("  #")[0].rstrip() for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(lines).replace("\n\n\n", "\n\n").strip()
