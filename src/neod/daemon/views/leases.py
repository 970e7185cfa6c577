"""Rows of ``leases``. Pure reading."""

from neod.control.verbs.objects import LeaseRow, LeasesReply
from neod.daemon.controller import Controller
from neod.daemon.describe import iso
from neod.daemon.views import causes
from neod.daemon.views.objects import if_down
from neod.dhcp.runner import LeaseStatus
from neod.model.facts import FOREVER


def leases_reply(controller: Controller) -> LeasesReply:
    """Return every DHCP client, by link."""
    statuses = sorted(controller.dhcp.service.status(), key=lambda status: status.link)
    why = causes.of_leases(controller)
    return LeasesReply(tuple(lease_row(controller, status, why.get(status.link, "")) for status in statuses))


def lease_row(controller: Controller, status: LeaseStatus, cause: str) -> LeaseRow:
    now, lease = controller.clock.boottime(), status.lease
    reason = if_down(controller) or cause or status.last_error
    if lease is None:
        return LeaseRow(status.link, status.state, status.parent, status.mac, detail=reason)

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
        "; ".join((*filter(None, (reason,)), *(f"left out: {text}" for text in lease.left_out))),
        lease.left_out,
    )


def lease_in_words(controller: Controller, link: str, words: str) -> str:
    """Return *words*, what a lease contributed to an object of *link*, with what is wrong with it or keeps it away."""
    status = controller.dhcp.service.status_of(link)
    if status is None:
        return "; ".join(filter(None, (words, controller.dhcp.trouble(link))))
    reason = causes.of_leases(controller).get(link) or status.last_error
    if status.lease is None:
        return f"none: {reason}" if reason else "none yet"
    left_out = (f"left out: {text}" for text in status.lease.left_out)
    return "; ".join(filter(None, (words or f"lease from {status.lease.server}", *left_out, reason)))
