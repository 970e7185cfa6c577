"""The hosts' files: the very examples of ``etc/examples``, and what a laboratory needs beside them, said one by one."""

from dataclasses import dataclass

from tests.lab.netns import run

from demo.console import ROOT

EXAMPLES = {"campus": "campus.toml", "relay1": "relay.toml", "relay2": "relay.toml", "server": "proxy.toml"}


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
    if host == "server" and not has_dummy():
        return [Change('relay_link = "dummy"', 'relay_link = "bridge"', "this kernel has no dummy driver")]
    return []


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
