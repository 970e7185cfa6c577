"""What changes while connections are open, by both path managers: flags of paths, what a server announces."""

import pytest
from tests.lab.multipath import SERVER, Multipath
from tests.lab.netns import inside, poll, run
from tests.lab.transfer import Transfer
from tests.system.test_multipath_settings import MANAGERS, SECOND, announce, announcing, ends, flows, second_address

pytestmark = pytest.mark.kernel

BACKUP = '[macvlans.neo.override.neo3]\nmptcp = ["subflow", "backup"]\n'


@pytest.fixture
def lab(laboratory):
    with Multipath(3) as made:
        yield made


def backups_at_the_server(lab: Multipath) -> set[str]:
    """Return the client addresses whose subflows the server was told to be backup ones."""
    with inside(lab.far.ns):
        shown = run("ss", "-Htni", "state", "established").stdout.replace("\n\t", " ").splitlines()
    peers = [line.split()[3] for line in shown if "flags:" in line and "B" in line.partition("flags:")[2].split()[0]]
    return {peer.rpartition(":")[0].strip("[]").removeprefix("::ffff:") for peer in peers}


def reload(lab: Multipath, text: str) -> None:
    lab.host.write_config(text)
    answer = lab.host.ctl("reload")
    assert answer.status == 0, answer


@MANAGERS
def test_a_path_that_becomes_a_backup_is_one_for_open_connections_and_no_longer_when_it_is_not(lab, manager):
    addresses = lab.start(manager)
    lab.serve(manager)
    with Transfer(lab.far.ns, lab.host.ns, SERVER, lab.directory, listen="::") as transfer:
        transfer.start(90, addresses[0])
        poll(lambda: len(flows(lab)) == 3, 30, 0.2, "three subflows")
        assert backups_at_the_server(lab) == set()
        for text, wanted in ((BACKUP, {addresses[2]}), ("", set()), (BACKUP.replace("neo3", "neo1"), {addresses[0]})):
            reload(lab, lab.multipath_file(manager, text))
            poll(lambda wanted=wanted: backups_at_the_server(lab) == wanted, 20, 0.1, f"{wanted} are backups")
        assert len(flows(lab)) == 3


@MANAGERS
def test_a_server_on_all_addresses_takes_one_back_and_announces_it_again_and_it_has_one_subflow(lab, manager):
    addresses = lab.start(manager)
    second_address(lab)
    announce(lab, manager)

    def to_second() -> int:
        return len([end for end in ends(lab) if end[1] == SECOND])

    with Transfer(lab.far.ns, lab.host.ns, SERVER, lab.directory, listen="::") as transfer:
        transfer.start(90, addresses[0])
        poll(lambda: to_second() == 1 and len(flows(lab)) == 4, 30, 0.2, "one subflow to what is announced")
        for flags, wanted in (("", 0), ('"signal"', 1), ("", 0), ('"signal"', 1)):
            lab.far.write_config(announcing(manager, flags))
            assert lab.far.ctl("reload").status == 0
            poll(lambda wanted=wanted: to_second() == wanted, 30, 0.2, f"{wanted} subflows with [{flags}]")
        assert len(flows(lab)) == 4
        before = transfer.samples()[-1][1]
        poll(lambda: transfer.samples()[-1][1] > before, 20, 0.1, "it goes on")
