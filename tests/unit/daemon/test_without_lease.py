"""Who has no lease is told once of each reason, all who have it in one line."""

from types import SimpleNamespace

from neod.daemon.without_lease import WithoutLease

LINKS = [f"neo{n}" for n in range(1, 10)]


def told(*rounds):
    notes = []
    note = lambda what, **fields: notes.append((what, fields["object"], fields["detail"]))  # noqa: E731
    without = WithoutLease(SimpleNamespace(note=note))
    for links, reason in rounds:
        without.tell(links, dict.fromkeys(links, reason))
    return notes


def test_nine_links_with_one_reason_are_one_event():
    line = "neo1 … neo9 wait for a lease: no carrier on ens3"
    assert told(*[(LINKS, "no carrier on ens3")] * 4) == [("no lease", "link:neo1", line)]


def test_what_has_just_begun_is_not_told():
    assert told((LINKS, "there is no ens3"), ([], ""), (LINKS, "there is no ens3")) == []


def test_another_reason_is_told_and_the_first_again_when_it_comes_back():
    rounds = [(["neo1"], reason) for reason in ("a", "a", "b", "b", "a")]
    assert [detail for _, _, detail in told(*rounds)] == [f"neo1 waits for a lease: {reason}" for reason in "aba"]


def test_no_known_reason_is_no_event():
    assert told((LINKS, ""), (LINKS, "")) == []
