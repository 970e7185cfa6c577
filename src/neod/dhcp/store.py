"""Leases on disk: one file, replaced as a whole, so that a crash leaves the old or the new one.

Deadlines are on CLOCK_BOOTTIME and mean nothing after a reboot; so the file names the boot they belong
to, and the wall time at which it was written. ``load`` and ``save`` block; ``write`` is for the loop.
"""

import asyncio
import json
import re
import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final

from neod.dhcp.lease_from_ack import LEAST_MTU, ON_THE_LINK, SHORTEST_PREFIX, not_a_router
from neod.dhcp.packet import is_host
from neod.model.facts import FOREVER, Lease
from neod.model.names import is_link_name
from neod.model.ports import Clock, Disk

VERSION: Final = 1
AHEAD_S: Final = 60.0  # of now, at most: a lease was bound in the past, but for a clock that was read twice
LONGEST_S: Final = 2.0**32  # the option has 32 bits of seconds
MAC: Final = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class StoredLease:
    """One lease, with what a new process needs beside it to go on."""

    lease: Lease
    mac: str  # whose it is: another MAC is another client
    server_mac: str = ""  # where a unicast renewal goes; empty when not known
    parent: str = ""  # the link whose wire is used; empty when not known
    release: bool = True  # whether it is given back when the file gives it up


class LeaseStore:
    """The file ``leases.json``."""

    def __init__(self, file: Disk, clock: Clock, *, boot_id: Path = BOOT_ID) -> None:
        self._file, self._clock = file, clock
        self._boot = _read_boot_id(boot_id)
        self._encoded: dict[str, tuple[StoredLease, str]] = {}  # one new lease must not cost encoding a thousand

    @property
    def problem(self) -> str:
        """Return what the last load or save stumbled over, for people."""
        return self._file.problem

    def load(self) -> Mapping[str, StoredLease]:
        """Return the leases that still hold, by link; none if the file is missing or cannot be used.

        A file that is not as we write them is kept beside as ``leases.json.bad``. One lease in it that makes no sense
        costs the others nothing.
        """
        found = self._file.load(self._decode)
        if found is None:
            return {}
        stored, refused = found
        if refused:
            self._file.keep_only(self._encode(stored), "; ".join(refused)[:200])
        now = self._clock.boottime()
        return {link: entry for link, entry in stored.items() if entry.lease.expires_at > now}

    def save(self, leases: Mapping[str, StoredLease]) -> str:
        """Replace the file durably; return what went wrong, or nothing. Safe in any thread."""
        return self._file.save(self._encode(leases))

    async def write(self, leases: Mapping[str, StoredLease]) -> str:
        """Do ``save`` in a thread of its own. It is a daemon thread: a disk that hangs must not hold up the exit."""
        saved: Future[str] = Future()

        def save() -> None:
            try:
                saved.set_result(self.save(leases))
            except BaseException as exc:
                saved.set_exception(exc)

        saved.set_running_or_notify_cancel()
        threading.Thread(target=save, name="leases", daemon=True).start()
        return await asyncio.wrap_future(saved)

    def _encode(self, leases: Mapping[str, StoredLease]) -> bytes:
        head = _compact({"boot_id": self._boot, "boottime": self._clock.boottime(), "wall": self._clock.wall()})
        self._encoded = {link: self._encode_one(link, entry) for link, entry in sorted(leases.items())}
        text = f'{head[:-1]},"leases":{{{",".join(encoded for _, encoded in self._encoded.values())}}}}}'
        return f'{{"version":{VERSION},"crc32":{zlib.crc32(text.encode())},"body":{text}}}\n'.encode()

    def _encode_one(self, link: str, entry: StoredLease) -> tuple[StoredLease, str]:
        known = self._encoded.get(link)
        if known is not None and known[0] is entry:
            return known
        return entry, f"{json.dumps(link)}:{_compact(_to_json(entry))}"

    def _decode(self, content: bytes) -> tuple[dict[str, StoredLease], list[str]]:
        """Return the leases, and what is wrong with those that cannot be."""
        file = json.loads(content)
        if file["version"] != VERSION:
            raise ValueError("unknown version")
        body = file["body"]
        if zlib.crc32(_compact(body).encode()) != file["crc32"]:
            raise ValueError("wrong checksum")
        shift_s, latest = self._shift_s(body), self._clock.boottime() + AHEAD_S
        found: dict[str, StoredLease] = {}
        refused: list[str] = []
        for link, entry in body["leases"].items():
            try:
                found[link] = _sound(_from_json(link, entry, shift_s), latest)
            except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
                refused.append(f"lease of {link[:15]!a}: {type(error).__name__}: {error}")
        return found, refused

    def _shift_s(self, body: Mapping[str, Any]) -> float:
        """Return what to add to the file's deadlines to have them on this boot's clock.

        Only across a reboot does the wall clock count; one that went backwards
        counts as no time passed.
        """
        if body["boot_id"] == self._boot and self._boot:
            return 0.0
        away_s = max(0.0, self._clock.wall() - float(body["wall"]))
        return self._clock.boottime() - float(body["boottime"]) - away_s


def _sound(entry: StoredLease, latest: float) -> StoredLease:
    """Return *entry*: the checksum says that it is what was written, not that it can be.

    Raises:
        ValueError: no server can have granted it, or not yet.
    """
    lease = entry.lease
    if not is_link_name(lease.link) or (entry.parent and not is_link_name(entry.parent)):
        raise ValueError("no name of a link")
    if not MAC.fullmatch(entry.mac) or (entry.server_mac and not MAC.fullmatch(entry.server_mac)):
        raise ValueError("no MAC")
    if not is_host(int(lease.ip)):
        raise ValueError(f"{lease.ip} is no address of a host")
    if not SHORTEST_PREFIX <= lease.prefix_length <= 32:
        raise ValueError(f"prefix length {lease.prefix_length}")
    times = (lease.renew_at, lease.rebind_at, lease.expires_at)
    if not lease.bound_at <= latest or not all(t == FOREVER or abs(t - lease.bound_at) <= LONGEST_S for t in times):
        raise ValueError("times that no lease has")
    if lease.mtu is not None and not LEAST_MTU <= lease.mtu <= 0xFFFF:
        raise ValueError(f"MTU {lease.mtu}")
    subnet = IPv4Network((lease.ip, lease.prefix_length), strict=False)
    vias = {via for destination, via in lease.routes if IPv4Network(destination)} - {ON_THE_LINK, lease.ip}
    for router in vias | ({lease.gateway} if lease.gateway else set()):
        if why := not_a_router(router, lease.ip, subnet):
            raise ValueError(f"router {router} {why}")
    return entry


def _read_boot_id(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _compact(value: Mapping[str, object]) -> str:
    return json.dumps(value, separators=(",", ":"))


def _to_json(entry: StoredLease) -> dict[str, object]:
    lease = entry.lease
    return {
        "mac": entry.mac,
        "server_mac": entry.server_mac,
        "parent": entry.parent,
        "release": entry.release,
        "ip": str(lease.ip),
        "prefix_length": lease.prefix_length,
        "gateway": str(lease.gateway) if lease.gateway else None,
        "server": str(lease.server),
        "times": [_finite(t) for t in (lease.bound_at, lease.renew_at, lease.rebind_at, lease.expires_at)],
        "dns": [str(ip) for ip in lease.dns],
        "domain": lease.domain,
        "mtu": lease.mtu,
        "routes": [[destination, str(gateway)] for destination, gateway in lease.routes],
        "left_out": list(lease.left_out),
        "no_router": lease.no_router,
    }


def _from_json(link: str, entry: Mapping[str, Any], shift_s: float) -> StoredLease:
    bound, renew, rebind, expires = (FOREVER if t is None else float(t) + shift_s for t in entry["times"])
    gateway = entry["gateway"]
    lease = Lease(
        link=link,
        ip=IPv4Address(_text(entry["ip"])),  # of a number it would be an address, too
        prefix_length=_whole(entry["prefix_length"]),
        gateway=IPv4Address(_text(gateway)) if gateway else None,
        server=IPv4Address(_text(entry["server"])),
        bound_at=bound,
        renew_at=renew,
        rebind_at=rebind,
        expires_at=expires,
        dns=tuple(IPv4Address(_text(ip)) for ip in entry["dns"]),
        domain=_text(entry["domain"]),
        mtu=None if entry["mtu"] is None else _whole(entry["mtu"]),
        routes=tuple((_text(destination), IPv4Address(_text(via))) for destination, via in entry["routes"]),
        left_out=tuple(map(_text, entry.get("left_out", ()))),  # 0.1.0 did not write these
        no_router=_text(entry.get("no_router", "")),
    )
    more = _text(entry.get("parent", "")), bool(entry.get("release", True))
    return StoredLease(lease, _text(entry["mac"]), _text(entry["server_mac"]), *more)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!a:.40} is no text")
    value.encode()  # JSON can say halves of letters, which nothing that shows them can
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!a:.40} is no whole number")
    return value


def _finite(instant: float) -> float | None:
    """JSON has no infinity."""
    return None if instant == FOREVER else instant
