"""What doctor says of MPTCP, for kernels and networks that are texts in a directory."""

from ipaddress import IPv4Network

import pytest

from neod.daemon.doctor.context import ProbeContext, ProbedPath
from neod.daemon.doctor.mptcp import (
    PROBES,
    check_arp_flux,
    check_endpoint_slots,
    check_fallbacks,
    check_gateway_macs,
    check_mptcp_enabled,
    mptcp_counters,
)
from neod.netlink.host_links import HostLink

NETSTAT = """TcpExt: SyncookiesSent Other
TcpExt: 0 3
MPTcpExt: MPCapableSYNRX MPCapableFallbackSYNACK MPTCPRstRx
MPTcpExt: 5 {fallbacks} 0
"""


@pytest.fixture
def proc(tmp_path):
    def write(fallbacks_seen=0, enabled="1", arp=()):
        sysctls = tmp_path / "sys/net/mptcp"
        sysctls.mkdir(parents=True, exist_ok=True)
        for name, value in {"enabled": enabled, "path_manager": "kernel", "scheduler": "default"}.items():
            (sysctls / name).write_text(f"{value}\n")
        (tmp_path / "net").mkdir(exist_ok=True)
        (tmp_path / "net/netstat").write_text(NETSTAT.format(fallbacks=fallbacks_seen))
        head = "IP address HW type Flags HW address Mask Device\n"
        (tmp_path / "net/arp").write_text(head + "".join(f"{ip} 0x1 0x2 {mac} * {dev}\n" for ip, mac, dev in arp))
        return tmp_path

    return write


def verdicts(found):
    return [finding.verdict for finding in found]


def test_a_healthy_host_has_nothing_to_remedy(proc):
    context = ProbeContext(proc(), endpoints=(("10.8.0.1", 200, True),))
    found = [finding for probe in PROBES for finding in probe(context)]
    assert set(verdicts(found)) == {"fine"}
    assert not any(finding.remedy for finding in found)


def test_a_kernel_without_mptcp_is_a_fault(tmp_path):
    assert verdicts(check_mptcp_enabled(ProbeContext(tmp_path))) == ["fault"]


def test_mptcp_switched_off_is_a_fault(proc):
    (finding,) = check_mptcp_enabled(ProbeContext(proc(enabled="0")))
    assert finding.verdict == "fault"
    assert "net.mptcp.enabled=1" in finding.remedy


def test_neod_that_cannot_be_the_path_manager_says_why(proc):
    found = list(check_mptcp_enabled(ProbeContext(proc(), manager="neod", unmanageable="no events")))
    assert [f.evidence for f in found if f.verdict == "fault"] == ["no events"]


def test_endpoints_of_others_and_too_many_addresses_are_told(proc):
    (foreign,) = check_endpoint_slots(ProbeContext(proc(), endpoints=(("10.8.0.1", 3, False), ("10.8.0.2", 200, True))))
    assert "10.8.0.1 id 3" in foreign.evidence
    (many,) = check_endpoint_slots(
        ProbeContext(proc(), paths=tuple(ProbedPath(f"neo{n}", f"10.8.0.{n}") for n in range(1, 10)))
    )
    assert (many.verdict, "9 addresses for 8" in many.evidence) == ("warning", True)


def test_fallback_counters_are_evidence(proc):
    (finding,) = check_fallbacks(ProbeContext(proc(fallbacks_seen=4)))
    assert finding.verdict == "warning"
    assert "MPCapableFallbackSYNACK = 4" in finding.evidence


def test_an_address_with_two_macs_is_told(proc):
    rows = [("10.8.0.1", "02:00:00:00:00:01", "neo1"), ("10.8.0.1", "02:00:00:00:00:02", "neo2")]
    (finding,) = check_gateway_macs(ProbeContext(proc(arp=rows)))
    assert (finding.verdict, "2 MACs" in finding.evidence) == ("warning", True)


def test_counters_of_a_kernel_without_them_are_none():
    assert mptcp_counters("TcpExt: A\nTcpExt: 1\n") == {}


@pytest.mark.parametrize(
    ("everywhere", "link", "told"),
    [
        ("0", HostLink("mv9", below="ens3"), True),
        ("0", HostLink("ens4", networks=(IPv4Network("10.8.0.0/16"),)), True),
        ("0", HostLink("ens5", networks=(IPv4Network("10.9.0.0/16"),)), False),
        ("1", HostLink("mv9", below="ens3"), False),
        ("0", HostLink("ens3", networks=(IPv4Network("10.8.0.0/16"),)), False),
    ],
)
def test_a_link_of_others_on_the_segment_that_answers_for_all_is_told(proc, everywhere, link, told):
    root = proc()
    for name, value in {"all": everywhere, "neo1": "1", link.name: "0"}.items():
        (root / f"sys/net/ipv4/conf/{name}").mkdir(parents=True)
        (root / f"sys/net/ipv4/conf/{name}/arp_ignore").write_text(value)
    paths = (ProbedPath("neo1", "10.8.0.11", "ens3"),)
    (finding,) = check_arp_flux(ProbeContext(root, paths, silent_nics=("ens3",), host_links=(link,)))
    assert (finding.verdict == "warning", link.name in finding.evidence) == (told, told)
