"""The port ``Netfilter`` of one namespace: nftables and the legacy tables together."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from neod.kernel.errors import within_netns
from neod.kernel.netfilter.legacy.tables import LegacyTables
from neod.kernel.netfilter.nft.arp import ArpTable
from neod.kernel.netfilter.nft.ruleset import NftRuleset
from neod.kernel.netfilter.nft.table import NftTable
from neod.model.ports import ArpElement, Clock, LegacyTable
from neod.netlink.netns import opener_in


class KernelNetfilter:
    """Both backends in the namespace at *netns*; None is the one that neod runs in."""

    def __init__(self, netns: Path | None, clock: Clock, *, claim: bool | None = None) -> None:
        within: Callable[[Callable[[], Any]], Any] = functools.partial(within_netns, netns) if netns else _here
        self._ruleset = NftRuleset(opener_in(netns))
        self.nft = NftTable(netns, self._ruleset, claim=claim)
        self.arp = ArpTable(self._ruleset)
        self.legacy = LegacyTables(netns, within, clock)

    def close(self) -> None:
        """Close all sockets and worker processes of the namespace. The rules stay."""
        self._ruleset.close()
        self.legacy.close()

    @property
    def writes(self) -> int:
        """Return how many changes were asked for."""
        return self.nft.writes + self.legacy.writes + self.arp.writes

    async def nft_read(self) -> Sequence[Mapping[str, Any]] | None:
        return await self.nft.read()

    async def nft_replace(self, script: str) -> None:
        await self.nft.replace(script)

    async def nft_remove(self) -> None:
        await self.nft.remove()

    def arp_read(self) -> Mapping[ArpElement, bool]:
        """Return the elements of the table ``arp neo``, each with whether the table is whole."""
        return self.arp.read()

    def arp_change(self, add: Collection[ArpElement], remove: Collection[ArpElement]) -> bool:
        """Change the elements, making or removing the table as needed; false where the kernel has no such tables."""
        return self.arp.change(add, remove)

    def nft_tables(self) -> Sequence[str]:
        return self.nft.tables()

    def nft_forward_drops(self) -> Sequence[str]:
        return self.nft.forward_drops()

    def legacy_names(self, version: int) -> Sequence[str]:
        return self.legacy.names(version)

    def legacy_read(self, version: int, table: str) -> LegacyTable | None:
        return self.legacy.read(version, table)

    def legacy_forward_drops(self) -> bool:
        return self.legacy.forward_drops()

    async def legacy_write(self, version: int, table: str, chains: Mapping[str, Mapping[str, Any]]) -> None:
        await self.legacy.write(version, table, chains)

    async def legacy_preload(self) -> None:
        await self.legacy.preload()


def _here(call: Callable[[], Any]) -> Any:
    return call()
