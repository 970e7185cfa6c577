"""What is counted of passes, and how objects are counted by phase."""

from types import SimpleNamespace

from neod.daemon.counters import Tally
from neod.daemon.metrics import resources
from neod.model.change import Change, Op, Outcome, Plan, Report
from neod.model.errors import KernelError
from neod.model.key import LinkKey
from neod.model.status import DriftKind, Phase, Trouble

ONE, TWO, THREE = (LinkKey("", name) for name in ("neo1", "neo2", "neo3"))


def report(*outcomes: Outcome, duration_s: float = 0.5) -> Report:
    changes = tuple(outcome.change for outcome in outcomes)
    return Report(1, 0.0, duration_s, "test", Plan((changes,)), outcomes)


def test_writes_refusals_and_repairs_are_counted_apart():
    tally = Tally()
    made, refused, skipped = (Change(Op.CREATE, key, None, "spec") for key in (ONE, TWO, THREE))
    error = KernelError("RTM_NEWLINK", 22, "neo2")
    outcomes = Outcome(made), Outcome(refused, error), Outcome(skipped, skipped=(TWO,))
    tally.passed(report(*outcomes), {str(ONE): DriftKind.MISSING, str(TWO): DriftKind.MISSING})
    assert tally.writes == {("link", "create"): 1}
    assert tally.refusals == {"link": 1}
    assert tally.repairs == {("link", "missing"): 1}


def test_passes_add_up_and_the_last_one_stands():
    tally = Tally()
    for duration_s in (0.5, 0.25):
        tally.passed(report(duration_s=duration_s), {})
    assert (tally.passes, tally.passing_s, tally.last_pass_s) == (2, 0.75, 0.25)


def test_each_object_is_in_one_phase_and_an_orphan_in_trouble_counts():
    troubles = {TWO: Trouble(Phase.BLOCKED), THREE: Trouble(Phase.FAILED)}
    ledger = SimpleNamespace(troubles=troubles)
    core = SimpleNamespace(reconciler=SimpleNamespace(specs={ONE: 1, TWO: 2}, ledger=ledger))
    assert resources(core) == {("link", "in-sync"): 1, ("link", "blocked"): 1, ("link", "failed"): 1}
