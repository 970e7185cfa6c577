"""Every protocol through one connection, on a real kernel: interrupted dumps, overruns, explanations, senders."""

import asyncio
import errno
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from tests.doubles.scripted_socket import DONE, HEADER, INTR, split
from tests.lab.netns import RUN_NETNS, ip_batch, namespace

from neod.kernel import mptcp
from neod.kernel.mptcp import NetlinkMptcp
from neod.kernel.netfilter.nft.ruleset import NftRuleset
from neod.kernel.rtnl import NetlinkRtnl
from neod.model.errors import KernelError
from neod.netlink import nfnetlink, sock_diag
from neod.netlink.attributes import NLA_F_NESTED, attr, attr_u32, nest
from neod.netlink.genl import family_request
from neod.netlink.message import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NetlinkError
from neod.netlink.mptcp_pm import ATTR_ADDR, CMD_ADD_ADDR, CMD_GET_ADDR
from neod.netlink.netns import in_netns, opener_in
from neod.netlink.rtnetlink import IFADDR, IFINFO, RTM_GETADDR, RTM_GETLINK, RTM_NEWLINK
from neod.netlink.socket import (
    NETLINK_GENERIC,
    NETLINK_NETFILTER,
    NETLINK_ROUTE,
    NETLINK_SOCK_DIAG,
    Connection,
)

pytestmark = pytest.mark.kernel

ALL_ADDRESSES = (RTM_GETADDR, IFADDR.pack(0, 0, 0, 0, 0))
ALL_LINKS = (RTM_GETLINK, IFINFO.pack(0, 0, 0, 0, 0))
IFLA_LINKINFO, IFLA_INFO_KIND = 18, 1
NO_FAMILY = nest(ATTR_ADDR | NLA_F_NESTED, [attr_u32(6, 1)])
ALL_TABLES = (nfnetlink.NFT_MSG_GETTABLE, nfnetlink.nfgenmsg(0))


@pytest.fixture
def netns():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with namespace("netlink") as name:
        yield RUN_NETNS / name


class Wrapped:
    """A real socket; *after* may change, or act upon, each datagram that was received."""

    def __init__(self, sock, after):
        self._sock, self._after, self.sends = sock, after, 0

    def __getattr__(self, name):
        return getattr(self._sock, name)

    def send(self, data):
        self.sends += 1
        return self._sock.send(data)

    def recv(self, size):
        return self._after(self, self._sock.recv(size))


def wrapping(netns, after):
    """Return an opener of wrapped sockets in *netns*, and the list of those it opened."""
    opened = []

    def opener(protocol, size):
        opened.append(Wrapped(opener_in(netns)(protocol, size), after))
        return opened[-1]

    return opener, opened


# ------------------------------------------------------ interrupted dumps


def addresses(netns):
    ip_batch(netns.name, [f"addr add 10.9.{i // 250}.{i % 250}/32 dev lo" for i in range(1500)])
    return NETLINK_ROUTE, ALL_ADDRESSES, lambda: ip_batch(netns.name, ["addr add 10.8.0.1/32 dev lo"]), 1503


def links(netns):
    ip_batch(netns.name, [f"link add va{i} type veth peer name vb{i}" for i in range(60)])
    return NETLINK_ROUTE, ALL_LINKS, lambda: ip_batch(netns.name, ["link add va60 type veth peer name vb60"]), 123


def tables(netns):
    def nft(commands):
        subprocess.run(["ip", "netns", "exec", netns.name, "nft", "-f", "-"], input=commands, text=True, check=True)

    nft("".join(f"add table ip t{i}{'x' * 200}\n" for i in range(500)))
    return NETLINK_NETFILTER, ALL_TABLES, lambda: nft("add table ip late\n"), 501


@pytest.mark.parametrize("made", [addresses, links, tables])
def test_a_dump_that_the_kernel_says_was_interrupted_is_read_again_and_then_whole(netns, made):
    protocol, dump, change, count = made(netns)
    flagged, changed = [], []

    def after(_, data):
        flagged.extend(True for _, flags, _, _ in split(data) if flags & INTR)
        if not changed:  # between the first part and the next, for sure
            changed.append(True)
            change()
        return data

    opener, opened = wrapping(netns, after)
    with Connection(protocol, opener) as connection:
        assert connection.dump_once(*dump) is None
        assert flagged
        found = connection.dump(*dump)
    known = {bytes(payload) for _, payload in found}
    assert (len(found), len(known)) == (count, count)
    assert len(opened) == 1


def test_dumps_under_a_storm_of_changes_are_whole_or_an_error(netns):
    ip_batch(netns.name, [f"addr add 10.9.{i // 250}.{i % 250}/32 dev lo" for i in range(1000)])
    fixed = {struct.pack("BBBB", 10, 9, i // 250, i % 250) for i in range(1000)}
    lines = [f"addr {word} 10.7.0.{i}/32 dev lo" for i in range(1, 200) for word in ("add", "del")] * 10
    storm = threading.Thread(target=ip_batch, args=(netns.name, lines))
    outcomes = []
    with in_netns(netns, lambda: Connection(NETLINK_ROUTE)) as connection:
        storm.start()
        while storm.is_alive() or not outcomes:
            found = connection.dump_once(*ALL_ADDRESSES)
            outcomes.append(found is not None)
            if found is not None:
                assert fixed <= {bytes(payload)[12:16] for _, payload in found if payload[1] == 32}
    storm.join()
    assert not all(outcomes)


def of_links(opener):
    return asyncio.run(NetlinkRtnl(opener).dump(*ALL_LINKS))


def of_endpoints(opener):
    return asyncio.run(NetlinkMptcp(opener).dump(CMD_GET_ADDR))


def of_connections(opener):
    return mptcp.dump_connections(opener)


def of_tables(opener):
    return NftRuleset(opener).tables()


def with_interruption(datagram):
    """Return *datagram* with the flag on its first message that the kernel sets when objects changed."""
    (flags,) = struct.unpack_from("=H", datagram, 6)
    return datagram[:6] + struct.pack("=H", flags | INTR) + datagram[8:]


ADAPTERS = (of_links, of_endpoints, of_connections, of_tables)


@pytest.mark.parametrize("dump", ADAPTERS)
def test_every_adapter_reads_again_what_was_interrupted(netns, dump):
    def interrupt_first(_, data):
        if split(data)[-1][0] != DONE or interrupted:
            return data
        interrupted.append(True)
        return with_interruption(data)

    interrupted = []
    opener, opened = wrapping(netns, interrupt_first)
    dump(opener)
    plain_opener, plain = wrapping(netns, lambda _, data: data)
    dump(plain_opener)
    assert opened[0].sends == plain[0].sends + 1


@pytest.mark.parametrize("dump", ADAPTERS)
def test_no_adapter_takes_a_dump_for_whole_that_never_was(netns, dump):
    def interrupt(_, data):
        return with_interruption(data) if split(data)[-1][0] == DONE else data

    opener, _ = wrapping(netns, interrupt)
    with pytest.raises(KernelError) as raised:
        dump(opener)
    assert (raised.value.code, raised.value.transient) == (errno.EINTR, True)


# ---------------------------------------------------------------- overruns


QUESTIONS = {
    NETLINK_ROUTE: (RTM_GETLINK, 0, IFINFO.pack(0, 0, 1, 0, 0)),
    NETLINK_GENERIC: family_request("nlctrl"),
    NETLINK_NETFILTER: (nfnetlink.NFT_MSG_GETGEN, 0, nfnetlink.nfgenmsg(0)),
}


@pytest.mark.parametrize("protocol", QUESTIONS)
def test_answers_that_found_no_room_are_errors_and_the_next_question_is_answered(netns, protocol):
    opener, opened = wrapping(netns, lambda _, data: data)
    with Connection(protocol, opener, receive_buffer_bytes=2304) as connection:
        answers = connection.exchange([QUESTIONS[protocol]] * 200)
        lost = [answer for answer in answers if isinstance(answer, NetlinkError)]
        assert {error.code for error in lost} == {errno.ENOBUFS}
        assert 0 < len(lost) < 200
        ((type_, _),) = connection.exchange([QUESTIONS[protocol]])
    assert type_ >= 16
    assert len(opened) == 2


@pytest.mark.parametrize("protocol", [NETLINK_ROUTE, NETLINK_NETFILTER])
def test_a_dump_fits_any_buffer_because_the_kernel_waits(netns, protocol):
    _, dump, _, count = (addresses if protocol == NETLINK_ROUTE else tables)(netns)
    with in_netns(netns, lambda: Connection(protocol, receive_buffer_bytes=2304)) as connection:
        assert len(connection.dump(*dump)) == count - 1


# ------------------------------------------------------------ explanations


def test_the_kernel_explains_what_it_refuses(netns):
    with in_netns(netns, lambda: Connection(NETLINK_ROUTE)) as connection:
        unknown = IFINFO.pack(0, 0, 0, 0, 0) + nest(IFLA_LINKINFO, [attr(IFLA_INFO_KIND, b"nope")])
        answers = connection.exchange([(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, unknown)])
        with pytest.raises(NetlinkError) as raised:
            connection.dump(RTM_GETADDR, IFADDR.pack(0, 24, 0, 0, 0))
    assert [(error.code, error.text) for error in answers] == [(errno.EOPNOTSUPP, "Unknown device type")]
    assert raised.value.code == errno.EINVAL
    assert raised.value.text.endswith("Invalid values in header for address dump request")


def test_adapters_name_the_call_and_keep_the_explanation(netns):
    async def refused():
        rtnl = NetlinkRtnl(opener_in(netns), {RTM_NEWLINK: "link set"})
        port = NetlinkMptcp(opener_in(netns))
        try:
            return [
                *await rtnl.send([(RTM_NEWLINK, 0, IFINFO.pack(0, 0, 99, 0, 0))]),
                *await port.send([(CMD_ADD_ADDR, NO_FAMILY)]),
            ]
        finally:
            rtnl.close()
            port.close()

    assert [str(error) for error in asyncio.run(refused())] == [
        "link set: ENODEV: No such device",
        "mptcp endpoint add: EINVAL: missing family",
    ]


# ------------------------------------------------------------------ sockets


def test_a_socket_is_of_the_namespace_it_was_opened_in(netns):
    ip_batch(netns.name, ["link add here type veth peer name there"])
    with Connection(NETLINK_ROUTE, opener_in(netns)) as connection:
        names = [payload.tobytes().split(b"\0\0\0\0")[0] for _, payload in connection.dump(*ALL_LINKS)]
    assert len(names) == 3


def test_a_namespace_that_is_not_there_is_an_error_that_names_it():
    with pytest.raises(NetlinkError, match="in /run/netns/neonl-absent") as raised:
        Connection(NETLINK_ROUTE, opener_in(Path("/run/netns/neonl-absent")))
    assert raised.value.code == errno.ENOENT
    with pytest.raises(KernelError, match=r"ENOENT: in /run/netns/neonl-absent"):
        NetlinkRtnl(opener_in(Path("/run/netns/neonl-absent")))


def test_a_protocol_that_is_not_there_is_an_error():
    with pytest.raises(NetlinkError) as raised:
        Connection(31)
    assert raised.value.code == errno.EPROTONOSUPPORT


def test_no_other_process_can_answer_for_the_kernel(netns):
    def plain():
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE)

    with in_netns(netns, lambda: Connection(NETLINK_ROUTE)) as connection, in_netns(netns, plain) as other:
        with pytest.raises(ConnectionRefusedError):
            other.sendto(HEADER.pack(16, 16, 0, 1, 0), (connection.port_id, 0))
        assert connection.exchange([QUESTIONS[NETLINK_ROUTE]])[0][0] == RTM_NEWLINK


def test_sockets_of_tcp_are_dumped_one_by_one(netns):
    def sockets():
        server = socket.create_server(("127.0.0.1", 0))
        clients = [socket.create_connection(server.getsockname()) for _ in range(3)]
        with Connection(NETLINK_SOCK_DIAG) as connection:
            found = sock_diag.dump_sockets(connection.dump, socket.AF_INET, socket.IPPROTO_TCP)
        for one in (server, *clients):
            one.close()
        return found

    assert len(in_netns(netns, sockets)) == 6
