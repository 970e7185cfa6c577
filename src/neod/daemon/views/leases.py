"""Rows of ``leases``. Pure reading."""

from neod.control.verbs.objects import LeaseRow, LeasesReply
from neod.daemon.controller import Controller
from neod.daemon.describe import iso
from neod.daemon.views import causes
from neod.dhcp.runner import LeaseStatus
from neod.model.facts import FOREVER


def leases_reply(controller: Controller) -> LeasesReply:
    """Return every DHCP client, by link."""
    statuses = sorted(controller.dhcp.service.status(), key=lambda status: status.link)
    why = causes.of_leases(controller)
    return LeasesReply(tuple(lease_row(controller, status, why.get(status.link, "")) for status in statuses))


def lease_row(controller: Controller, status: LeaseStatus, cause: str) -> LeaseRow:
    now, lease = controller.clock.boottime(), status.lease
    if lease is None:
        return LeaseRow(status.link, status.state, status.parent, status.mac, detail=cause)

    def left(instant: float) -> float | None:
        return None if instant == FOREVER else round(instant - now, 1)

    return LeaseRow(
        status.link,
        status.state,
        status.parent,
        status.mac,
        f"{lease.ip}/{lease.prefix_length}",
        str(lease.gateway or ""),
        str(lease.server),
        iso(controller.clock.wall() - (now - lease.bound_at)),
        left(lease.renew_at),
        left(lease.rebind_at),
        left(lease.expires_at),
        tuple(map(str, lease.dns)),
        lease.domain,
        lease.mtu,
        tuple(f"{destination} via {gateway}" for destination, gateway in lease.routes),
        "; ".join((*filter(None, (cause,)), *(f"left out: {text}" for text in lease.left_out))),
        lease.left_out,
    )


def lease_in_words(controller: Controller, link: str, words: str) -> str:
    """Return *words*, what a lease contributed to an object of *link*, with what is wrong with it or keeps it away."""
    status = controller.dhcp.service.status_of(link)
    if status is None:
        return "; ".join(filter(None, (words, controller.dhcp.trouble(link))))
    reason, lease = causes.of_leases(controller).get(link, ""), status.lease
    if lease is None:
        return f"none: {reason}" if reason else "none yet"
    left_out = (f"left out: {text}" for text in lease.left_out)
    what = f"{lease.ip}/{lease.prefix_length}, {words or f'lease from {lease.server}'}"
    return "; ".join(filter(None, (what, *left_out, reason)))
