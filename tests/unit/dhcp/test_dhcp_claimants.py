"""What an ARP claim is worth, who is a copy of this machine, and which ARP the kernel lets through."""

from random import Random

import pytest

from neod.dhcp.claimants import BELIEVED_S, Claimants
from neod.dhcp.clones import SHOWN_S, Clones
from neod.dhcp.rawsocket import MOST_NAMED, arp_about

IP = 0x0A4D0105
MAC, OTHER = b"\x02\xaa\0\0\0\x01", b"\x02\xaa\0\0\0\x02"


@pytest.fixture
def claimants():
    return Claimants(Random(1))


def test_who_claims_both_decoys_claims_everything(claimants):
    first, second = claimants.decoys(MAC, IP, (), 0.0)
    assert not claimants.heard(MAC, first, 0.1)
    assert not claimants.claims_everything(MAC)
    assert claimants.heard(MAC, second, 0.1)
    assert claimants.claims_everything(MAC)
    assert not claimants.claims_everything(OTHER)


def test_a_decoy_that_another_host_has_says_nothing(claimants):
    for decoy in claimants.decoys(MAC, IP, (), 0.0):
        assert not claimants.heard(OTHER, decoy, 0.1)
    assert claimants.everything() == ()


def test_decoys_are_neighbours_and_none_of_ours(claimants):
    ours = {IP & ~0xFF | host for host in range(1, 253)}
    assert sorted(claimants.decoys(MAC, IP, ours, 0.0)) == [IP & ~0xFF | 253, IP & ~0xFF | 254]


def test_one_trial_at_a_time_and_another_later(claimants):
    assert claimants.decoys(MAC, IP, (), 0.0)
    assert claimants.decoys(MAC, IP, (), 1.0) == ()
    claimants.forget(3.0)
    assert claimants.decoys(MAC, IP, (), 3.0)


def test_what_was_found_out_is_forgotten_when_the_mac_is_quiet(claimants):
    for decoy in claimants.decoys(MAC, IP, (), 0.0):
        claimants.heard(MAC, decoy, 0.0)
    claimants.heard(MAC, IP, 100.0)
    claimants.forget(BELIEVED_S + 50)
    assert claimants.claims_everything(MAC), "it claimed something meanwhile"
    claimants.forget(BELIEVED_S + 101)
    assert not claimants.claims_everything(MAC)


def test_made_up_macs_fill_no_memory(claimants):
    for number in range(1000):
        claimants.decoys(number.to_bytes(6, "big"), IP, (), 0.0)
    assert claimants.decoys(MAC, IP, (), 0.0) == ()


def test_an_answer_in_our_name_is_a_copy_s_unless_the_question_came_back():
    clones = Clones()
    assert not clones.answered(IP, "neo1", MAC, 0.0), "nobody asked"
    clones.asked(IP, 10.0)
    clones.came_back(IP)
    assert not clones.answered(IP, "neo1", MAC, 10.1), "we may have answered ourselves"
    clones.asked(IP, 20.0)
    assert clones.answered(IP, "neo1", MAC, 20.1)
    assert not clones.answered(IP, "neo1", MAC, 20.2), "told once"
    assert (clones.of("neo1"), clones.of("neo2")) == (MAC, b"")
    clones.forget(21.0 + SHOWN_S)
    assert clones.of("neo1") == b""


def frame(sender, target, op=1):
    head = b"\xff" * 6 + MAC + b"\x08\x06" + b"\0\1\x08\0\6\4" + op.to_bytes(2, "big")
    return head + MAC + sender.to_bytes(4, "big") + bytes(6) + target.to_bytes(4, "big")


def kept(program, data):
    """Run a classic BPF program on a frame for this host, without a VLAN tag."""
    at, a = 0, 0
    while True:
        code, true, false, k = program[at]
        at += 1
        match code:
            case 0x20 if k >= 0xFFFFF000:
                a = 0
            case 0x20:
                a = int.from_bytes(data[k : k + 4], "big")
            case 0x28:
                a = int.from_bytes(data[k : k + 2], "big")
            case 0x15:
                at += true if a == k else false
            case 0x05:
                at += k
            case 0x06:
                return k > 0
            case _:
                raise AssertionError(hex(code))


@pytest.mark.parametrize("count", [1, 249, 250, 251, 1000, 5000])
def test_the_kernel_keeps_what_names_our_addresses_and_drops_the_rest(count):
    ours = [IP + number for number in range(count)]
    program = arp_about(ours)
    assert len(program) <= 4096
    assert all(true <= 255 for code, true, *_ in program)
    known = ours[: min(count, MOST_NAMED)]
    for ip in (known[0], known[len(known) // 2], known[-1]):
        assert kept(program, frame(ip, 1)), "a claim"
        assert kept(program, frame(0, ip)), "a probe for it"
        assert not kept(program, frame(IP - 1, ip)), "a question for it, in another's name"
    assert not kept(program, frame(IP + 6000, 1))
    assert not kept(program, frame(0, IP - 7))
