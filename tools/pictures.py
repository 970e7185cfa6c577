"""Draws the pictures of the documentation: ``python tools/pictures.py docs/pictures``.

They are made by this script and committed; a test demands that both agree. Addresses are those of the examples.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parent))

from drawing import DIM, FILLS, Drawing

BLUE, AMBER, GREEN, VIOLET, RED = (FILLS[name][1] for name in ("campus", "relay", "proxy", "inner", "bad"))


def system() -> Drawing:
    """Return the whole system: a campus host, two relays, a proxy server."""
    d = Drawing(980, 452, "A campus host with eight addresses reaches a proxy server directly and through two relays")
    d.text(24, 32, "One connection over every address and every route", size=16, face="bold")
    d.box(24, 56, 248, 372, "campus host", fill="campus")
    d.box(
        40, 90, 216, 50, "program", "with MPTCP, or through neo-race", fill="white", centre=True, face="sans", size=11.5
    )
    for number, name in enumerate(
        ("neo1   10.8.16.1", "neo2   10.8.16.2", "neo3   10.8.16.3", "  …", "neo8   10.8.16.8")
    ):
        y = 160 + number * 38
        d.box(56, y, 184, 29, "", name, fill="white")
        d.arrow((240, y + 14), (318, y + 14), colour=BLUE, head=False)
    d.text(40, 376, "neod: links, leases, a table and a", size=12, colour=DIM)
    d.text(40, 393, "rule for each address, endpoints,", size=12, colour=DIM)
    d.text(40, 410, "sysctls", size=12, colour=DIM)
    d.box(318, 150, 116, 206, fill="plain")
    d.text(376, 174, "campus", face="bold", at="middle")
    d.text(376, 206, "limits the", size=12, colour=DIM, at="middle")
    d.text(376, 223, "bandwidth of", size=12, colour=DIM, at="middle")
    d.text(376, 240, "each address;", size=12, colour=DIM, at="middle")
    d.text(376, 270, "leases as many", size=12, colour=DIM, at="middle")
    d.text(376, 287, "as one asks for", size=12, colour=DIM, at="middle")
    for y, name, address in ((80, "relay 1", "203.0.113.11"), (356, "relay 2", "203.0.113.12")):
        d.box(496, y, 166, 66, name, address, "", fill="relay", centre=True)
        d.text(579, y + 57, "neod: DNAT, SNAT", size=11.5, colour=DIM, at="middle")
    d.arrow((434, 190), (470, 113), (496, 113), colour=AMBER)
    d.arrow((434, 316), (470, 389), (496, 389), colour=AMBER)
    d.arrow((434, 252), (722, 252), colour=BLUE)
    d.label(566, 256, "the direct route", colour=BLUE)
    d.arrow((662, 113), (694, 113), (722, 190), colour=AMBER)
    d.arrow((662, 389), (694, 389), (722, 316), colour=AMBER)
    d.label(578, 178, "another route through", colour=AMBER)
    d.label(578, 195, "the Internet", colour=AMBER)
    d.box(722, 80, 234, 342, "proxy server", "198.51.100.10", fill="proxy")
    d.box(738, 136, 202, 190, "namespace proxy", fill="inner")
    d.box(752, 170, 174, 48, "proxy program", "listens on :443", fill="white", centre=True)
    d.text(752, 246, "link relays:", size=12.5)
    d.text(752, 266, "203.0.113.11", size=12.5, face="mono")
    d.text(752, 284, "203.0.113.12", size=12.5, face="mono")
    d.text(752, 308, "announced to the client", size=12, colour=DIM)
    d.text(738, 352, "neod: namespace, veth, NAT into", size=12, colour=DIM)
    d.text(738, 369, "and out of it, the relays'", size=12, colour=DIM)
    d.text(738, 386, "addresses, signal endpoints", size=12, colour=DIM)
    return d


def campus() -> Drawing:
    """Return what one path of a campus host is."""
    d = Drawing(980, 396, "What neod keeps for every address of a campus host")
    d.text(24, 32, "A path: link, lease, rule, table, endpoint", size=16, face="bold")
    heads = (("interface", 120), ("lease", 290), ("rule", 438), ("table", 656), ("MPTCP endpoint", 868))
    for title, x in heads:
        d.text(x, 64, title, face="bold", colour=DIM, at="middle")
    rows = (
        ("neo1", "10.8.16.1", "1"),
        ("neo2", "10.8.16.2", "2"),
        ("neo3", "10.8.16.3", "3"),
        ("neo8", "10.8.16.8", "8"),
    )
    for number, (name, ip, table) in enumerate(rows):
        y = 80 + number * 56 + (22 if name == "neo8" else 0)
        d.box(52, y, 136, 42, name, "own MAC, private", fill="campus", centre=True, size=11)
        d.box(234, y + 6, 112, 30, "", ip, fill="white", centre=True)
        d.box(374, y, 128, 42, "", f"1100{table}: from", f"{ip}", fill="white", centre=True, size=11.5)
        d.box(548, y, 216, 42, "", "10.8.0.0/16 dev " + name, "default via 10.8.0.1", fill="white", size=11.5)
        d.box(808, y + 6, 120, 30, "", ip, fill="white", centre=True)
        for x1, x2 in ((188, 234), (346, 374), (764, 808)):
            d.arrow((x1, y + 21), (x2, y + 21), thick=1.5)
        d.arrow((502, y + 21), (548, y + 21), thick=1.5, colour=BLUE)
    d.text(120, 262, "⋮", size=16, colour=DIM, at="middle")
    d.arrow((52, 101), (30, 101), (30, 344), (52, 344), colour=BLUE, head=False)
    for y in (157, 213, 291):
        d.arrow((30, y), (52, y), colour=BLUE, head=False)
    d.box(52, 324, 136, 52, "ens3", "10.8.0.5", fill="plain", centre=True)
    d.text(
        204,
        346,
        "The NIC belongs to somebody else: neod follows its address with a table (33) and a rule (11033).",
        size=12.5,
    )
    d.text(
        204,
        366,
        "On it, neod drops ARP requests for their addresses: it would answer for all of them with its own MAC.",
        size=12.5,
        colour=DIM,
    )
    return d


def packet(d: Drawing, x: float, y: float, source: str, target: str, colour: str, *changed: str) -> None:
    """Draw the addresses of a packet; *changed* are the sides that were written anew on the way: from, to."""
    d.box(x, y, 176, 48, fill="white")
    for row, (name, ip) in enumerate((("from", source), ("to", target))):
        fresh = name in changed
        d.text(x + 10, y + 19 + row * 18, name, size=11.5, colour=DIM)
        d.text(x + 44, y + 19 + row * 18, ip, size=11.5, face="mono", colour=colour if fresh else "#1f2328", room=130)


def relay() -> Drawing:
    """Return the way of a packet through a relay, and of its answer."""
    d = Drawing(980, 372, "The addresses of a packet on its way through a relay, and of the answer")
    d.text(24, 32, "Through a relay: only addresses change", size=16, face="bold")
    d.box(24, 54, 150, 294, "client", "192.0.2.2", fill="campus")
    d.box(388, 54, 204, 294, "relay", "203.0.113.11", fill="relay")
    d.box(806, 54, 150, 294, "proxy server", "198.51.100.10", fill="proxy")
    packet(d, 193, 116, "192.0.2.2:40001", "203.0.113.11:443", AMBER)
    packet(d, 611, 116, "203.0.113.11:40001", "198.51.100.10:443", AMBER, "from", "to")
    d.arrow((174, 180), (388, 180), colour=BLUE)
    d.arrow((592, 180), (806, 180), colour=BLUE)
    d.box(402, 112, 176, 32, "", "prerouting: DNAT", fill="white", centre=True)
    d.box(402, 152, 176, 32, "", "postrouting: SNAT", fill="white", centre=True)
    d.text(490, 212, "conntrack remembers both,", size=11.5, colour=DIM, at="middle")
    d.text(490, 228, "and undoes them for answers", size=11.5, colour=DIM, at="middle")
    packet(d, 193, 242, "203.0.113.11:443", "192.0.2.2:40001", GREEN, "from", "to")
    packet(d, 611, 242, "198.51.100.10:443", "203.0.113.11:40001", GREEN)
    d.arrow((806, 306), (592, 306), colour=GREEN)
    d.arrow((388, 306), (174, 306), colour=GREEN)
    d.text(281, 206, "the client's packet", size=12, colour=BLUE, at="middle")
    d.text(281, 330, "the answer", size=12, colour=GREEN, at="middle")
    d.text(699, 206, "both addresses are new", size=12, colour=AMBER, at="middle")
    d.text(699, 330, "to whom it came from: the relay", size=12, colour=GREEN, at="middle")
    d.text(490, 306, "MPTCP options and data", size=11.5, colour=DIM, at="middle")
    d.text(490, 322, "pass unchanged", size=11.5, colour=DIM, at="middle")
    return d


def proxy() -> Drawing:
    """Return the proxy server: why there is a namespace, and why relays get other addresses in it."""
    d = Drawing(980, 470, "A packet from a relay on its way into the namespace of the proxy server")
    d.text(24, 32, "Into the namespace", size=16, face="bold")
    d.box(214, 54, 742, 302, "proxy server", fill="proxy")
    d.box(24, 134, 136, 62, "relay", "203.0.113.11", fill="relay", centre=True)
    d.box(236, 128, 134, 74, "eth0", "198.51.100.10", fill="white", centre=True)
    d.arrow((160, 165), (236, 165), colour=AMBER)
    d.box(402, 90, 174, 62, "DNAT (expose)", "tcp/443 to inside", fill="white", centre=True, face="sans")
    d.box(402, 178, 174, 62, "SNAT (relay_snat)", "relay i to address i", fill="white", centre=True, face="sans")
    d.arrow((370, 150), (402, 128), colour=AMBER)
    d.arrow((489, 152), (489, 178), colour=AMBER)
    d.box(620, 78, 320, 262, "namespace proxy", fill="inner")
    d.box(640, 116, 124, 62, "eth0", "10.254.0.2", fill="white", centre=True)
    d.arrow((576, 209), (600, 209), (600, 150), (640, 150), colour=AMBER)
    d.box(796, 116, 128, 62, "program", "0.0.0.0:443", fill="white", centre=True)
    d.arrow((764, 147), (796, 147), colour=AMBER)
    d.box(
        640, 216, 284, 100, "link relays (dummy)", "203.0.113.11/32   signal", "203.0.113.12/32   signal", fill="white"
    )
    d.text(652, 304, "announced by MPTCP: the client joins there", size=11.5, colour=DIM, room=268)
    d.box(236, 262, 340, 78, "veth pair", "neo-proxy 10.254.0.1 — eth0 10.254.0.2", fill="white", size=11.5)
    d.text(248, 326, "the way in and out; masqueraded on eth0", size=11.5, colour=DIM, room=320)
    d.text(24, 386, "the same packet", face="bold", colour=DIM)
    steps = (
        (24, "on the wire", "203.0.113.11", "198.51.100.10:443", ""),
        (336, "after DNAT", "203.0.113.11", "10.254.0.2:443", "to"),
        (648, "after SNAT", "10.254.1.1", "10.254.0.2:443", "from"),
    )
    for x, title, source, target, changed in steps:
        packet(d, x, 398, source, target, AMBER, changed)
        d.text(x + 186, 427, title, size=12, colour=DIM)
    d.box(24, 234, 166, 122, "Why SNAT", fill="bad")
    for row, line in enumerate(
        ("203.0.113.11 is a local", "address inside, and the", "kernel refuses packets", "that come from one.")
    ):
        d.text(36, 276 + row * 18, line, size=12, room=150)
    return d


def one_pass() -> Drawing:
    """Return the flow of one pass."""
    d = Drawing(980, 366, "One pass: file and facts become desired state, which is compared with the kernel")
    d.text(24, 32, "One pass", size=16, face="bold")
    d.box(24, 64, 150, 58, "neo.toml", "read by a child", fill="plain", centre=True, face="sans")
    d.box(24, 142, 150, 58, "facts", "leases, uplinks, MTU", fill="plain", centre=True, face="sans", size=11.5)
    d.box(232, 98, 120, 66, "compile", "unit by unit", fill="white", centre=True, face="sans")
    d.arrow((174, 93), (204, 93), (204, 120), (232, 120))
    d.arrow((174, 171), (204, 171), (204, 142), (232, 142))
    d.box(408, 98, 124, 66, "desired", "key → spec", fill="campus", centre=True)
    d.arrow((352, 131), (408, 131))
    d.box(408, 254, 124, 66, "observed", "key → spec", fill="proxy", centre=True)
    d.box(408, 186, 124, 46, "diff", fill="white", centre=True)
    d.arrow((470, 164), (470, 186))
    d.arrow((470, 254), (470, 232))
    d.box(588, 180, 124, 58, "order", "by what needs what", fill="white", centre=True, face="sans", size=11)
    d.arrow((532, 209), (588, 209))
    d.box(768, 98, 188, 74, "plan", "changes in order;", "blocked, conflicts", fill="relay", centre=True, face="sans")
    d.arrow((650, 180), (650, 135), (768, 135))
    d.box(768, 206, 188, 46, "apply", "in batches", fill="white", centre=True, face="sans", size=11.5)
    d.arrow((862, 172), (862, 206))
    parts = "links, addresses, routes, rules, NAT, MPTCP, sysctls"
    d.box(588, 290, 368, 52, "kernel", parts, fill="inner", centre=True, face="sans", size=11.5)
    d.arrow((862, 252), (862, 290))
    d.arrow((588, 316), (560, 316), (560, 287), (532, 287))
    d.label(586, 274, "observe", face="sans")
    d.box(24, 262, 180, 58, "events, polls, timers", "“look again at this”", fill="plain", centre=True, face="sans")
    d.arrow((204, 291), (408, 291), colour=VIOLET, dashed=True)
    d.label(306, 295, "wake the next pass", colour=VIOLET)
    d.arrow((700, 342), (700, 354), (114, 354), (114, 320), colour=VIOLET, dashed=True)
    return d


def race() -> Drawing:
    """Return a pair of neo-race, which makes any program multipath."""
    d = Drawing(980, 330, "Two neo-race make the connection of any program multipath")
    d.text(24, 32, "A pair of neo-race makes any program multipath", size=16, face="bold")
    d.box(24, 56, 322, 250, "client", fill="campus")
    d.box(40, 128, 116, 60, "program", "plain TCP", fill="white", centre=True, face="sans")
    d.box(200, 112, 130, 92, "neo-race", "127.0.0.1:4430", "mptcp = true", fill="relay", centre=True, size=11.5)
    d.arrow((156, 158), (200, 158))
    d.text(40, 262, "The first answer wins the race; neod adds", size=12, colour=DIM)
    d.text(40, 279, "a subflow from every other address.", size=12, colour=DIM)
    d.box(640, 56, 316, 250, "server", fill="proxy")
    d.box(656, 112, 138, 92, "neo-race", "0.0.0.0:4430", "listen_mptcp", fill="relay", centre=True, size=11.5)
    d.box(836, 128, 104, 60, "program", "plain TCP", fill="white", centre=True, face="sans")
    d.arrow((794, 158), (836, 158))
    for y, name in ((84, "neo1"), (128, "neo2"), (172, "neo3"), (216, "neo8")):
        d.arrow((330, 158), (372, y), (604, y), (656, 158), colour=BLUE)
        d.label(488, y + 4, f"{name}: a subflow", colour=BLUE)
    d.text(488, 200, "⋮", size=15, colour=BLUE, at="middle")
    d.text(488, 256, "one MPTCP connection", size=12.5, face="bold", at="middle")
    d.text(488, 274, "for each of the program", size=12, colour=DIM, at="middle")
    return d


PICTURES: Final[dict[str, Callable[[], Drawing]]] = {
    "system": system,
    "campus": campus,
    "relay": relay,
    "proxy": proxy,
    "pass": one_pass,
    "race": race,
}


def main(place: Path) -> None:
    """Write all of them into a directory."""
    place.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (place / f"{name}.svg").write_text(draw().svg())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
