"""Leases on disk: one file, replaced as a whole, so that a crash leaves the old or the new one.

Deadlines are on CLOCK_BOOTTIME and mean nothing after a reboot; so the file names the boot they belong
to, and the wall time at which it was written. ``load`` and ``save`` block; ``write`` is for the loop.
"""

import asyncio
import json
import os
import threading
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from neod.model.facts import FOREVER, Lease
from neod.model.ports import Clock

VERSION: Final = 1
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
    """The file ``leases.json`` in the state directory."""

    def __init__(self, directory: Path, clock: Clock, *, boot_id: Path = BOOT_ID) -> None:
        self._path = directory / "leases.json"
        self._clock = clock
        self._boot = _read_boot_id(boot_id)
        self._lock = threading.Lock()  # the last write at exit may meet one still under way
        self._encoded: dict[str, tuple[StoredLease, str]] = {}  # one new lease must not cost encoding a thousand
        self.problem = ""  # what the last load or save stumbled over, for people

    def load(self) -> Mapping[str, StoredLease]:
        """Return the leases that still hold, by link; none if the file is missing or cannot be used.

        An unusable file is kept beside as ``leases.json.bad``.
        """
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as exc:
            self.problem = f"{self._path}: {exc.strerror or exc}"
            return {}
        try:
            stored = self._decode(text)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
            self._set_aside(exc)
            return {}
        now = self._clock.boottime()
        return {link: entry for link, entry in stored.items() if entry.lease.expires_at > now}

    def save(self, leases: Mapping[str, StoredLease]) -> str:
        """Replace the file durably; return what went wrong, or nothing. Safe in any thread."""
        with self._lock:
            try:
                self._write(self._encode(leases))
            except OSError as exc:
                self.problem = f"{self._path}: {exc.strerror or exc}"
            else:
                self.problem = ""
            return self.problem

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

    def _write(self, content: bytes) -> None:
        temporary = self._path.with_name("leases.json.tmp")
        fd = _create(temporary)
        try:
            try:
                while content:
                    content = content[os.write(fd, content) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            temporary.rename(self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _set_aside(self, why: Exception) -> None:
        bad = self._path.with_name("leases.json.bad")
        self.problem = f"{self._path}: {type(why).__name__}; kept as {bad.name}"
        with suppress(OSError):
            self._path.replace(bad)

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

    def _decode(self, content: bytes) -> dict[str, StoredLease]:
        file = json.loads(content)
        if file["version"] != VERSION:
            raise ValueError("unknown version")
        body = file["body"]
        if zlib.crc32(_compact(body).encode()) != file["crc32"]:
            raise ValueError("wrong checksum")
        shift_s = self._shift_s(body)
        return {link: _from_json(link, entry, shift_s) for link, entry in body["leases"].items()}

    def _shift_s(self, body: Mapping[str, Any]) -> float:
        """Return what to add to the file's deadlines to have them on this boot's clock.

        Only across a reboot does the wall clock count; one that went backwards
        counts as no time passed.
        """
        if body["boot_id"] == self._boot and self._boot:
            return 0.0
        away_s = max(0.0, self._clock.wall() - float(body["wall"]))
        return self._clock.boottime() - float(body["boottime"]) - away_s


def _create(path: Path) -> int:
    """Open a new file at *path*; what a crash or anybody else left there goes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        path.unlink()
        return os.open(path, flags, 0o600)


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
        ip=IPv4Address(entry["ip"]),
        prefix_length=int(entry["prefix_length"]),
        gateway=IPv4Address(gateway) if gateway else None,
        server=IPv4Address(entry["server"]),
        bound_at=bound,
        renew_at=renew,
        rebind_at=rebind,
        expires_at=expires,
        dns=tuple(IPv4Address(ip) for ip in entry["dns"]),
        domain=str(entry["domain"]),
        mtu=None if entry["mtu"] is None else int(entry["mtu"]),
        routes=tuple((str(destination), IPv4Address(via)) for destination, via in entry["routes"]),
        left_out=tuple(map(str, entry.get("left_out", ()))),  # 0.1.0 did not write these
        no_router=str(entry.get("no_router", "")),
    )
    more = str(entry.get("parent", "")), bool(entry.get("release", True))
    return StoredLease(lease, str(entry["mac"]), str(entry["server_mac"]), *more)


def _finite(instant: float) -> float | None:
    """JSON has no infinity."""
    return None if instant == FOREVER else instant
