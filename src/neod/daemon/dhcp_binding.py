"""Between passes and the DHCP client: which links are ready for it, and which addresses are guarded against others."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from neod.dhcp.runner import DhcpService
from neod.features.parts import PathInfo
from neod.model.facts import DhcpClient, ProbePolicy
from neod.model.key import AddressKey, Key, LinkKey
from neod.reconcile.observed import Observed


class DhcpBinding:
    """Notifies the DHCP service of links as passes see them."""

    def __init__(self, service: DhcpService) -> None:
        self.service = service
        self._clients: dict[str, DhcpClient] = {}
        self._parents: frozenset[str] = frozenset()
        self._ready: dict[str, str] = {}  # link -> MAC it was announced with
        self._carriers: dict[str, bool] = {}
        self._paths: dict[str, PathInfo] = {}  # whose addresses are guarded
        self._guarded: dict[AddressKey, str] = {}  # behind which parent

    def want(self, clients: Sequence[DhcpClient], paths: Sequence[PathInfo]) -> None:
        """Lease addresses for exactly these links, and guard those of *paths*."""
        self._paths = {path.name: path for path in paths if path.probe is not ProbePolicy.OFF}
        self._clients = {client.link: client for client in clients}
        self._parents = frozenset(client.parent for client in clients)
        self._ready = {link: mac for link, mac in self._ready.items() if link in self._clients}
        self.service.want(clients)

    def guard(self, keys: Iterable[Key] | None, observed: Observed) -> None:
        """Guard the addresses of ours among *keys* (None: all) that are there after a pass."""
        all_ = [*self._guarded, *observed.named_by(AddressKey, "")] if keys is None else keys
        addresses = [key for key in all_ if isinstance(key, AddressKey) and not key.netns]
        for key in sorted(addresses, key=str):  # what is sent, and when, is the same in every process
            if isinstance(key.ip, IPv4Address):
                self._guard(key, key.ip, observed)

    def _guard(self, key: AddressKey, ip: IPv4Address, observed: Observed) -> None:
        seen, link, path = observed.get(key), observed.get(LinkKey("", key.link)), self._paths.get(key.link)
        before = self._guarded.pop(key, "")
        is_there = seen is not None and seen.owned and link is not None
        parent = (path.parent or path.name) if is_there and path is not None else ""
        if before and before != parent:
            self.service.release(key.link, before, ip)
        if parent and path is not None:
            self._guarded[key] = parent
            self.service.guard(key.link, parent, link.spec.mac, ip, leased=path.ipv4 != "static")

    def trouble(self, link: str) -> str:
        """Return in one sentence what is wrong with the lease or the addresses of *link*; empty if nothing is."""
        path, client = self._paths.get(link), self._clients.get(link)
        parent = path.parent if path else client.parent if client else ""
        return self.service.trouble(link, parent or link)

    def on_pass_done(self, links: Iterable[str] | None, observed: Observed, desired: Mapping[Key, object]) -> None:
        """Take note of how *links* (None: all) stand after a pass."""
        held: dict[str, IPv4Address] | None = None
        for link in self._clients if links is None else sorted(links):
            client = self._clients.get(link)
            if client is None:
                continue
            mac = self._mac_if_usable(client, observed, desired)
            if mac is None:
                if self._ready.pop(link, None) is not None:
                    self.service.link_gone(link)
            elif self._ready.get(link) != mac:
                held = held if held is not None else _held_addresses(observed)
                self._ready[link] = mac
                self.service.link_ready(link, mac, held.get(link))

    @staticmethod
    def _mac_if_usable(client: DhcpClient, observed: Observed, desired: Mapping[Key, object]) -> str | None:
        """Return the link's MAC when it is up and has the MAC that is desired: a lease belongs to a MAC.

        One of ours that somebody renamed waits for its name, by which the kernel tells who has an address.
        """
        key = LinkKey("", client.link)
        seen, wanted = observed.get(key), getattr(desired.get(key), "mac", None)
        if seen is None or not seen.spec.up or not seen.spec.mac or (seen.owned and seen.spec.name != client.link):
            return None
        mac: str = seen.spec.mac
        return mac if client.mac in ("", mac) and wanted in (None, mac) else None

    def carrier(self, link: str, up: bool) -> None:
        """Take note of a link's carrier, if it is a parent's and changed."""
        if link in self._parents and self._carriers.get(link, True) != up:
            self._carriers[link] = up
            self.service.carrier(link, up)


def _held_addresses(observed: Observed) -> dict[str, IPv4Address]:
    """Return the leased address that each link carries already, from before a restart."""
    return {
        key.link: key.ip
        for key, seen in observed.named_by(AddressKey, "").items()
        if seen.owned and isinstance(key.ip, IPv4Address)
    }
