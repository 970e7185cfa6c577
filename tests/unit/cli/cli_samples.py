"""Replies as a daemon would give them, for golden texts."""

from neod.control.verbs.events import EventRecord
from neod.control.verbs.objects import LeaseRow, LeasesReply, NeedRow, Resource, ShowReply, WhyReply
from neod.control.verbs.plan import ApplyReply, BlockedRow, ChangeRow, OutcomeRow, PlanReply, ReloadReply
from neod.control.verbs.status import Drift, FileState, ForwardRow, NamespaceRow, ObjectRow, PathRow, StatusReply

FILE = FileState("/etc/neo/neo.toml", "ok", "2026-05-01T11:59:02+02:00")


def path_row(number: int, **changes: object) -> PathRow:
    values: dict[str, object] = {
        "name": f"neo{number}",
        "parent": "ens3",
        "ipv4": "dhcp",
        "address": f"10.8.0.{number + 10}/16",
        "lease_left_s": 3483.0 - number,
        "table": number,
        "rule_priority": 11000 + number,
        "mptcp": ("subflow",),
        "mptcp_id": 200 + number,
        "state": "in-sync",
    }
    return PathRow(**values | changes)  # type: ignore[arg-type]


UPLINK = PathRow("ens3", "", "follow", "10.8.0.5/16", None, 33, 11033, (), None, "in-sync")

CONVERGED = StatusReply(
    converged=True,
    mode="running",
    version="0.1.0",
    pid=812,
    since="2026-05-01T11:59:00+02:00",
    file=FILE,
    counts={"in-sync": 66},
    paths=(UPLINK, *(path_row(number) for number in range(1, 9))),
)

BLOCKED = Drift(
    "macvlans.neo/neo2",
    "blocked",
    waits_for=("a lease for neo2",),
    origin="line 12 [macvlans.neo]",
)
CONTESTED = Drift(
    "rule:11003/from 10.8.0.13/32 lookup 3",
    "contested",
    "missing",
    reason="deleted by ip[812]; repaired 3 times in 41s",
    next_attempt_s=12.0,
    by="ip[812]",
    origin="line 12 [macvlans.neo]",
)
FAILED = Drift(
    "sysctl:net/ipv4/conf/neo4/arp_ignore",
    "retrying",
    "modified",
    reason="is 0, shall be 1",
    error="open /proc/sys/net/ipv4/conf/neo4/arp_ignore: EROFS: Read-only file system, and this goes on for long",
    next_attempt_s=0.4,
)
CONFLICT = Drift(
    "route:5/default",
    "conflict",
    reason="a route that is not ours has the name",
    by="dhclient[99]",
    origin="line 12 [macvlans.neo]",
)

DRIFTING = StatusReply(
    converged=False,
    mode="running",
    version="0.1.0",
    pid=812,
    since="2026-05-01T11:59:00+02:00",
    file=FileState(
        "/etc/neo/neo.toml",
        "stale",
        "2026-05-01T11:59:02+02:00",
        problems=("/etc/neo/neo.toml:13:1: macvlans.neo.cuont: unknown key; did you mean count?",),
        warnings=("/etc/neo/neo.toml:4: uplinks.ens3: does not exist yet",),
    ),
    counts={"in-sync": 60, "blocked": 3, "contested": 1},
    confirm_s=44.2,
    notes=("mptcp: 8 endpoints are the most this kernel has; neo9 to neo64 have none",),
    paths=(
        UPLINK,
        path_row(1),
        path_row(
            2,
            address="",
            lease_left_s=None,
            rule_priority=None,
            mptcp_id=None,
            state="blocked",
            detail="a lease for neo2",
        ),
        path_row(3, rule_priority=None, state="contested", detail="rule"),
        path_row(
            4, name="campus-north-14", address="192.168.100.104/24", mptcp=("subflow", "backup"), lease_left_s=187000.0
        ),
        path_row(
            5, ipv4="static", lease_left_s=None, state="conflict", detail="route:5/default is held by dhclient[99]"
        ),
    ),
    forwards=(ForwardRow("proxy", "tcp", ("443", "8000-8010"), "198.51.100.10", "masquerade", "in-sync"),),
    namespaces=(
        NamespaceRow(
            "proxy",
            "eth0",
            "10.254.0.0/30",
            ("tcp/443",),
            ("203.0.113.11", "203.0.113.12"),
            "changing",
            "link:proxy/neo-relay",
        ),
    ),
    drifts=(CONTESTED, CONFLICT, FAILED, BLOCKED),
)

PAUSED = StatusReply(
    converged=False,
    mode="paused",
    version="0.1.0",
    pid=812,
    since="2026-05-01T11:59:00+02:00",
    file=FILE,
    counts={},
    until="2026-05-01T12:30:00+02:00",
)

OF_OBJECT = StatusReply(
    converged=True,
    mode="running",
    version="0.1.0",
    pid=812,
    since="2026-05-01T11:59:00+02:00",
    file=FILE,
    counts={"in-sync": 66},
    paths=(path_row(3),),
    objects=(
        ObjectRow("link:neo3", "in-sync", "line 12 [macvlans.neo]"),
        ObjectRow("address:neo3/10.8.0.13/16", "in-sync", "line 16 [macvlans.neo]"),
        ObjectRow("rule:11003/from 10.8.0.13/32 lookup 3", "changing", "line 18 [macvlans.neo]"),
    ),
)

LINK = {"driver": "macvlan", "parent": "ens3", "mode": "private", "mac": "02:4e:65:6f:00:03", "up": "yes"}

PLAN = PlanReply(
    "/etc/neo/neo.toml",
    changes=(
        ChangeRow("delete", "rule:11009/from 10.8.0.19/32 lookup 9", before={"table": "9"}),
        ChangeRow("create", "link:neo3", after=LINK, origin="line 12 [macvlans.neo]"),
        ChangeRow("update", "link:neo4", before=LINK | {"mtu": "1500"}, after=LINK | {"mtu": "1400"}, fields=("mtu",)),
        ChangeRow("recreate", "link:neo5", before=LINK, after=LINK | {"mode": "bridge"}, fields=("mode",)),
    ),
    blocked=(
        BlockedRow("route:3/default", ("link:neo3",)),
        BlockedRow(
            "route:3/10.8.0.0/16", ("link:neo3", "address:neo3/10.8.0.13/16", "address:neo3/fe80::4e:65ff:fe6f:3/64")
        ),
    ),
    conflicts=(
        ChangeRow("conflict", "route:5/default", {"via": "10.8.0.2"}, {"via": "10.8.0.1"}, ("via",), by="dhclient[99]"),
    ),
    warnings=("/etc/neo/neo.toml:4: uplinks.ens3: does not exist yet",),
)
NO_PLAN = PlanReply("/etc/neo/neo.toml")
RELOAD = ReloadReply(PlanReply("/etc/neo/neo.toml", changes=PLAN.changes[:1]), confirm_s=60.0)

APPLY = ApplyReply(
    converged=False,
    number=12,
    duration_ms=8.127,
    outcomes=(
        OutcomeRow("create", "link:neo3", "done"),
        OutcomeRow(
            "update", "link:neo4", "failed", error="newlink neo4 mtu=90000: EINVAL: mtu greater than device maximum"
        ),
        OutcomeRow("create", "route:3/default", "skipped", skipped_for=("link:neo3",)),
    ),
    blocked=PLAN.blocked[:1],
    conflicts=PLAN.conflicts,
)

DESIRED = ShowReply(
    "desired",
    (
        Resource("link:neo3", "link", LINK, origin="line 12 [macvlans.neo]"),
        Resource("rule:11003/from 10.8.0.13/32 lookup 3", "rule", {}),
    ),
)
OBSERVED = ShowReply(
    "observed",
    (
        Resource("link:neo3", "link", LINK),
        Resource("link:vpn0", "link", {"driver": "tun"}, owned=False),
    ),
)

LEASES = LeasesReply(
    (
        LeaseRow(
            "neo1", "bound", "ens3", "02:4e:65:6f:00:01", "10.8.0.11/16", "10.8.0.1", "10.8.0.1",
            "2026-05-01T11:59:02+02:00", 1683.0, 3033.0, 3483.0, ("10.8.0.1",), "campus.example",
        ),
        LeaseRow("neo2", "selecting", "ens3", "02:4e:65:6f:00:02", detail="no offer for 40s; asks again in 16s"),
        LeaseRow(
            "campus-north-14", "rebinding", "ens3", "02:4e:65:6f:00:03", "192.168.100.104/24", "192.168.100.254",
            "192.168.100.253", "2026-05-01T11:59:02+02:00", 0.0, 0.0, 187000.0,
        ),
        LeaseRow("neo4", "bound", "ens3", address="10.8.0.14/16", gateway="10.8.0.1", server="10.8.0.1"),
    )
)  # fmt: skip

REPAIRED = EventRecord(
    41,
    "2026-05-01T12:01:07.123+02:00",
    "repaired",
    "rule:11003/from 10.8.0.5/32 lookup 3",
    "create",
    "missing",
    "ip[812]",
    duration_ms=4.1,
)
EVENTS = (
    EventRecord(
        40, "2026-05-01T12:01:05.001+02:00", "created", "link:neo3", "create", duration_ms=12.34, cause="reload"
    ),
    REPAIRED,
    EventRecord(
        42, "2026-05-01T12:01:08.000+02:00", "repaired", "link:neo3", "update", "modified", detail="mtu: 1400 → 1500"
    ),
    EventRecord(
        43, "2026-05-01T12:01:09.000+02:00", "failed", "link:neo4", "create", error="newlink neo4: EEXIST: File exists"
    ),
    EventRecord(44, "2026-05-01T12:01:10.000+02:00", "reload", detail="/etc/neo/neo.toml"),
)

WHY = WhyReply(
    object="rule:11003/from 10.8.0.13/32 lookup 3",
    phase="contested",
    reason="deleted by ip[812]; repaired 3 times in 41s",
    file="/etc/neo/neo.toml",
    table="macvlans.neo",
    line=12,
    text="  count  = 8   # or ids",
    lease="10.8.0.13/16 by 10.8.0.1, gateway 10.8.0.1",
    desired={"table": "3"},
    observed=None,
    needs=(NeedRow("table:3/ipv4", "in-sync"), NeedRow("address:neo3/10.8.0.13/16", "in-sync")),
    drift=CONTESTED,
    actions=(REPAIRED,),
)
