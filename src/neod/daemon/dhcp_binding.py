"""Between passes and the DHCP client: which links are ready for it, and where its leases go."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address

from neod.dhcp.runner import DhcpService
from neod.model.facts import DhcpClient
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

    def want(self, clients: Sequence[DhcpClient]) -> None:
        """Lease addresses for exactly these links."""
        self._clients = {client.link: client for client in clients}
        self._parents = frozenset(client.parent for client in clients)
        self._ready = {link: mac for link, mac in self._ready.items() if link in self._clients}
        self.service.want(clients)

    def on_pass_done(self, links: Iterable[str] | None, observed: Observed, desired: Mapping[Key, object]) -> None:
        """Take note of how *links* (None: all) stand after a pass."""
        held: dict[str, IPv4Address] | None = None
        for link in self._clients if links is None else links:
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
        """Return the link's MAC when it is up and has the MAC that is desired: a lease belongs to a MAC."""
        key = LinkKey("", client.link)
        seen, wanted = observed.get(key), getattr(desired.get(key), "mac", None)
        if seen is None or not seen.spec.up or not seen.spec.mac:
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
