"""What the stanzas of an interfaces file say, line by line, about which interface. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from neod.cli.ifupdown import HEREDITARY, Line, Whole
from neod.cli.ifupdown_commands import NOT_MADE, read
from neod.cli.ifupdown_path import Path, Told, with_prefix
from neod.cli.ifupdown_shell import Step
from neod.features.validation.checks import InvalidValue

UP: Final = ("pre-up", "up", "post-up")
DOWN: Final = ("down", "pre-down", "post-down")

OPTIONS: Final = {
    "gateway": "gateway", "multi_gateway": "gateway", "multi_table": "table", "mtu": "mtu", "broadcast": "=broadcast",
    "network": "=network", "hwaddress": "mac",
}  # fmt: skip
"""Options that mean one key of a path. multi_*: ifupdown-multi."""


def without_alias(name: str) -> str:
    """Return the interface that ``eth0:1`` is an address of."""
    return name.partition(":")[0]


@dataclass(slots=True)
class Ledger:
    """The stanzas as they are being read."""

    tables: Mapping[str, int]
    paths: dict[str, Path] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    users: dict[str, list[str]] = field(default_factory=dict)  # by place: the interfaces that a line is about
    targets: dict[str, set[str]] = field(default_factory=dict)  # by place: those that its commands change

    def path(self, name: str) -> Path:
        return self.paths.setdefault(without_alias(name), Path(without_alias(name)))

    def options(self, one: Whole) -> None:
        """Take what the stanza says by its options, and by its commands before them."""
        path, own = self.path(one.stanza.name), {line.word for line in one.stanza.options}
        for line in one.inherited:
            if line.word not in (*UP, *DOWN) and line.word in own:
                self.told.add(line, f"{path.name} has a {line.word} of its own")
        if one.wrong:
            self.told.add(one.stanza.line, one.wrong)
        self._method(one, path)
        self.commands(one, UP[:1])
        options = _of(one)
        for line in options:
            self.users.setdefault(line.place, []).append(path.name)
            if line.word not in (*UP, *DOWN):
                self._option(line, one, path, options)

    def _method(self, one: Whole, path: Path) -> None:
        line = one.stanza.line
        self.users.setdefault(line.place, []).append(path.name)
        if one.family not in ("", "inet") or one.method not in ("", "dhcp", "static", "manual", "loopback"):
            self.told.add(line, f"{one.family or 'method'} {one.method}: {NOT_MADE}")
        elif one.stanza.extra:
            self.told.add(line, f"{one.stanza.extra}: {NOT_MADE}")
        if one.family in ("", "inet") and one.method == "dhcp":
            path.take("ipv4", "dhcp", line, self.told, self.tables)

    def _option(self, line: Line, one: Whole, path: Path, options: list[Line]) -> None:
        value = line.rest.removeprefix("ether ").strip() if line.word == "hwaddress" else line.rest
        if one.family not in ("", "inet"):
            self.told.add(line, f"{one.family}: {NOT_MADE}")
        elif (
            line.word in HEREDITARY
            or (line.word, value) == ("use", "link")
            or (line.word == "requires" and value == path.text("parent"))
        ):
            return
        elif (line.word, value) == ("use", "dhcp"):
            path.take("ipv4", "dhcp", line, self.told, self.tables)
        elif line.word in ("address", "netmask") and one.method in ("", "static"):
            if line.word == "address":
                self._address(line, one, path, options)
            elif not any(option.word == "address" for option in options):
                self.told.add(line, "there is no address")
        elif (line.word, value) == ("hwaddress", "random"):
            self.told.add(line, "neo derives a MAC that stays the same")
        elif line.word not in OPTIONS or (line.word not in ("hwaddress", "mtu") and one.method not in ("", "static")):
            self.told.add(line, NOT_MADE)
        else:
            path.take(OPTIONS[line.word], value, line, self.told, self.tables)

    def _address(self, line: Line, one: Whole, path: Path, options: list[Line]) -> None:
        masks = [option for option in options if option.word == "netmask"]
        try:
            address = with_prefix(line.rest, masks[0].rest if masks else "", one.family == "inet")
        except InvalidValue as invalid:
            self.told.add(line, invalid.problem)
            for mask in masks:
                self.told.add(mask, invalid.problem)
            return
        for mask in masks[1:] if "/" not in line.rest else masks:
            self.told.add(mask, f"the address is {address}")
        path.take("ipv4", address, line, self.told, self.tables)
        for mask in masks if path.lines.get("ipv4") != line else ():
            self.told.add(mask, f"it is that of {line.rest}")

    def commands(self, one: Whole, words: Collection[str]) -> None:
        """Take what the shell lines after these *words* say."""
        options = _of(one)
        variables = {"IFACE": one.stanza.name, "LOGICAL": one.stanza.name} | {
            f"IF_{line.word.upper().replace('-', '_')}": line.rest for line in options if line.word not in (*UP, *DOWN)
        }
        for line in options:
            if line.word in words:
                for step in read(line.rest, one.stanza.name, variables):
                    self._step(step, line, self.path(one.stanza.name))

    def _step(self, step: Step, line: Line, own: Path) -> None:
        path = self._meant(step, own)
        self.users.setdefault(line.place, []).append(path.name)
        self.targets.setdefault(line.place, set()).add(path.name)
        if step.why_not:
            self.told.add(line, step.why_not)
        if line.word in DOWN and any(not key.startswith("=") for key in step.says):
            self.told.add(line, "it makes something when the interface goes down")
            return
        for key, value in step.says.items():
            path.take(key, value, line, self.told, self.tables)

    def _meant(self, step: Step, own: Path) -> Path:
        """Return the interface that a command is about; a rule in another's stanza is about whose address it names."""
        if step.link:
            return self.path(step.link)
        ip = step.says.get("=ip", "")
        if ip and own.ipv4.partition("/")[0] != ip:
            return next((path for path in self.paths.values() if path.ipv4.partition("/")[0] == ip), own)
        return own


def _of(one: Whole) -> list[Line]:
    """Return the options of a stanza, with those that it inherits and does not say itself."""
    own = {line.word for line in one.stanza.options}
    return [line for line in one.inherited if line.word in (*UP, *DOWN) or line.word not in own] + one.stanza.options
