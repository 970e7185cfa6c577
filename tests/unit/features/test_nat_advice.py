"""What of the host is in the way of translation: each is one line, and none where nothing is in the way."""

from ipaddress import ip_address

import pytest

from neod.config.load import load
from neod.features.nat.advice import advice, of_marks, taken, targets_outside
from neod.features.nat.compile import marks_in_words
from neod.kernel.host_view import iptables_marks, nft_marks
from neod.model.host import EVERY_BIT, HostView, ListeningSocket, MarkUse, bits_of

HERE, SIX, ANY, ANY6 = (ip_address(ip) for ip in ("192.0.2.2", "2001:db8::2", "0.0.0.0", "::"))
HOST = HostView(
    programs={7: "sshd[812]"},
    addresses={HERE: "eth0", SIX: "eth0", ip_address("203.0.113.2"): "eth1"},
    links=frozenset(("lo", "eth0", "eth1", "neo-px")),
)


def lines(tmp_path, text, **host):
    view = HostView(**{name: host.get(name, getattr(HOST, name)) for name in HostView.__slots__})
    return advice(read(tmp_path, text), view)


def read(tmp_path, text):
    file = tmp_path / "neo.toml"
    file.write_text(text)
    return load(file, {})


FORWARD = '[forwards.p]\nports = ["20-30"]\nto = "{to}"\n{more}'
PX = '[namespaces.px]\nuplink = "eth1"\nsubnet = "10.254.0.0/30"\nexpose = ["tcp/22"]\n'
SSHD = ListeningSocket("tcp", ANY, 22, 7)


@pytest.mark.parametrize(
    ("listener", "text"),
    [
        (SSHD, FORWARD.format(to="198.51.100.10", more="")),
        (ListeningSocket("tcp", ANY6, 22, 7, both=True), FORWARD.format(to="198.51.100.10", more="")),
        (ListeningSocket("tcp", ANY6, 22, 7), FORWARD.format(to="2001:db8:9::1", more="")),
        (ListeningSocket("udp", HERE, 25, 7), FORWARD.format(to="198.51.100.10", more='protocol = "udp"\n')),
        (ListeningSocket("tcp", HERE, 22, 7), FORWARD.format(to="198.51.100.10", more='interface = "eth0"\n')),
        (SSHD, PX),
    ],
)
def test_a_service_of_the_host_that_is_taken_is_named_with_its_program(tmp_path, listener, text):
    (line,) = lines(tmp_path, text, listeners=(listener,))
    assert f"connections to {listener.protocol}/{listener.port} (sshd[812]) of this host itself are handed on" in line
    assert line.startswith("line 1 [")


@pytest.mark.parametrize(
    "listener",
    [
        ListeningSocket("udp", ANY, 22, 7),
        ListeningSocket("tcp", ANY, 31, 7),
        ListeningSocket("tcp", ANY6, 22, 7),
        ListeningSocket("tcp", ip_address("127.0.0.1"), 22, 7),
        ListeningSocket("tcp", ip_address("203.0.113.2"), 22, 7),
    ],
    ids=["protocol", "port", "family", "loopback", "another interface's address"],
)
def test_a_service_that_is_not_taken_is_not_named(tmp_path, listener):
    text = FORWARD.format(to="198.51.100.10", more='interface = "eth0"\n')
    assert lines(tmp_path, text, listeners=(listener,)) == ()


def test_many_ports_are_one_line(tmp_path):
    text = FORWARD.format(to="198.51.100.10", more="")
    (line,) = lines(tmp_path, text, listeners=tuple(ListeningSocket("tcp", ANY, port, 0) for port in range(20, 31)))
    assert "tcp/20, tcp/21, tcp/22, tcp/23 and 7 more" in line
    assert len(taken(read(tmp_path, text), HostView((SSHD,)))) == 1


@pytest.mark.parametrize(
    ("text", "told", "host"),
    [
        (FORWARD.format(to="198.51.100.10", more='snat = "192.0.2.9"\n'), "snat 192.0.2.9 is not an address of", {}),
        (FORWARD.format(to="2001:db8:9::1", more='snat = "2001:db8::9"\n'), "snat 2001:db8::9 is not an address", {}),
        (FORWARD.format(to="192.0.2.2", more=""), r"192.0.2.2 is an address of this host (eth0)", {}),
        (FORWARD.format(to="198.51.100.10", more=""), "there is no route to 198.51.100.10", {"unreachable": "yes"}),
        (FORWARD.format(to="198.51.100.10", more='interface = "eth9"\n'), "there is no interface eth9", {}),
        (
            f'{PX}relay_addresses = ["203.0.113.11"]\nrelay_snat = "10.254.1.0/24"\n',
            "relay_snat uses 10.254.1.1, which eth1 has",
            {"addresses": {ip_address("10.254.1.1"): "eth1"}},
        ),
        (f'{PX}[nat]\nbackend = "iptables"\n', "install the package", {"lacking": "install the package"}),
    ],
)
def test_what_is_in_the_way_is_said(tmp_path, text, told, host):
    if "unreachable" in host:
        host = {"unreachable": frozenset((ip_address("198.51.100.10"),))}
    (line,) = lines(tmp_path, text, **host)
    assert told in line


def test_nothing_is_said_where_nothing_is_in_the_way(tmp_path):
    text = FORWARD.format(to="198.51.100.10", more='snat = "192.0.2.2"\ninterface = "eth0"\n') + PX
    assert lines(tmp_path, text, lacking="libip4tc", unreachable=frozenset((HERE,))) == ()
    assert targets_outside(read(tmp_path, text)) == {ip_address("198.51.100.10")}


# ── marks ───────────────────────────────────────────────────────────────────────

UPLINKS = "[uplinks.eth0]\ntable = 100\n[uplinks.eth1]\ntable = 101\n"


def test_a_strict_check_of_sources_is_named_where_answers_are_marked(tmp_path):
    strict = frozenset(("eth0", "eth1"))
    (line,) = lines(tmp_path, UPLINKS + PX, strict=strict)
    assert "rp_filter of eth1 is strict" in line
    assert '"net.ipv4.conf.eth1.rp_filter" = 2' in line
    assert lines(tmp_path, PX, strict=strict) == ()


def test_a_foreign_use_of_our_bits_is_a_conflict_and_of_others_is_none(tmp_path):
    intents = read(tmp_path, UPLINKS + PX)
    uses = [MarkUse("ip rule 5210", 0xFF0000), MarkUse("ip rule 1", 0x3F00)]
    (line,) = of_marks(intents, uses)
    assert line.startswith("[nat]: conflict: ip rule 5210 uses the bits 0xf00000")
    assert list(of_marks(read(tmp_path, UPLINKS + PX + "[nat]\nmark_mask = 0x0f000000\n"), uses)) == []
    assert list(of_marks(read(tmp_path, PX), uses)) == []
    assert marks_in_words(intents) == "mark_mask is 0x00f00000: eth1 0x100000"


@pytest.mark.parametrize(
    ("mark", "mask", "bits"), [(0x80000, 0xFF0000, 0xFF0000), (0xCA6C, EVERY_BIT, 0xCA6C), (0, EVERY_BIT, EVERY_BIT)]
)
def test_a_comparison_of_the_whole_mark_depends_on_what_it_sets(mark, mask, bits):
    assert bits_of(mark, mask) == bits


def test_marks_are_found_in_what_nft_prints():
    listing = """table ip mangle {
        chain ts {
                meta mark & 0x00ff0000 == 0x00040000 accept
                meta mark set meta mark & 0xff00ffff | 0x00040000
                meta mark set mark and 0xffffff00 or 0x1
                tcp dport 22 meta mark set 0x00000005
                ct mark 0x0000ca6c accept
                comment "mark my words"
        }
}
table inet neo {
        chain answers {
                ct mark & 0x00f00000 == 0x00100000 meta mark set meta mark & 0xff0fffff | 0x00100000
        }
}
"""
    assert [(one.who, one.bits) for one in nft_marks(listing)] == [
        ("nft ip mangle ts", bits) for bits in (0xFF0000, 0xFF0000, 0xFF, EVERY_BIT, 0xCA6C)
    ]


def test_marks_are_found_in_what_iptables_prints():
    saved = """*mangle
-A PREROUTING -m mark --mark 0x1/0xff -j ACCEPT
-A PREROUTING -m mark --mark 0xca6c -j ACCEPT
-A OUTPUT -j MARK --set-xmark 0x0/0xffffffff
-A OUTPUT -j CONNMARK --save-mark --nfmask 0xff0000 --ctmask 0xff0000
-A PREROUTING -j NEO-ANSWERS
-A NEO-ANSWERS -m connmark --mark 0x100000/0xf00000 -j MARK --set-xmark 0x100000/0xf00000
"""
    found = [(one.who, one.bits) for one in iptables_marks(saved, "iptables")]
    bits = [
        ("PREROUTING", 0xFF),
        ("PREROUTING", 0xCA6C),
        ("OUTPUT", EVERY_BIT),
        ("OUTPUT", 0xFF0000),
        ("OUTPUT", 0xFF0000),
    ]
    assert found == [(f"iptables mangle {chain}", one) for chain, one in bits]


# ── what the file alone shows ───────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kept", "caught"),
    [
        ('[forwards.kept]\nports = [80]\nto = "198.51.100.10:25"\nsnat = "none"\n', 'to = "198.51.100.10"'),
        ('[forwards.kept]\nports = [8025]\nto = "2001:db8::10"\nsnat = "none"\n', 'to = "[2001:db8::10]:8025"'),
        (
            '[namespaces.px]\nuplink = "eth1"\nsubnet = "10.254.0.0/30"\nexpose = ["tcp/25"]\n',
            'interface = "eth0"\nto = "10.254.0.2"',
        ),
    ],
    ids=["IPv4", "IPv6", "namespace"],
)
def test_a_source_that_is_given_to_the_connections_of_another_entry_is_warned_of(tmp_path, kept, caught):
    caught = f"[forwards.p]\nports = [25]\n{caught}\n"
    (warning,) = read(tmp_path, kept + caught).warnings
    assert "get another source all the same: forwards.p.snat is for all that go there" in warning
    assert read(tmp_path, kept + caught.replace("[25]", "[26]").replace(":8025", ":8026")).warnings == ()


def test_more_paths_than_marks_are_warned_of(tmp_path):
    uplinks = "".join(f"[uplinks.eth{n}]\ntable = {100 + n}\n" for n in range(17))
    text = uplinks + FORWARD.format(to="198.51.100.10", more="")
    (warning,) = [one for one in read(tmp_path, text).warnings if "marks for" in one]
    assert "15 marks for 17 paths: what comes in by eth" in warning
    assert "marks for" not in str(read(tmp_path, text + "[nat]\nmark_mask = 0x1f00000\n").warnings)
