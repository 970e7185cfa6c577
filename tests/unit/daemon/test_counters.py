"""What is counted of passes, and how objects are counted by phase."""

from types import SimpleNamespace

from neod.daemon.counters import Counters
from neod.daemon.metrics import resources
from neod.model.change import Change, Op, Outcome, Plan, Report
from neod.model.errors import KernelError
from neod.model.key import LinkKey
from neod.model.status import DriftKind, ObjectPhase, ObjectStatus

ONE, TWO, THREE = (LinkKey("", name) for name in ("neo1", "neo2", "neo3"))


def report(*outcomes: Outcome, duration_s: float = 0.5) -> Report:
    changes = tuple(outcome.change for outcome in outcomes)
    return Report(1, 0.0, duration_s, "test", Plan((changes,)), outcomes)


def test_writes_refusals_and_repairs_are_counted_apart():
    counters = Counters()
    made, refused, skipped = (Change(Op.CREATE, key, None, "spec") for key in (ONE, TWO, THREE))
    error = KernelError("RTM_NEWLINK", 22, "neo2")
    outcomes = Outcome(made), Outcome(refused, error), Outcome(skipped, skipped=(TWO,))
    counters.passed(report(*outcomes), {str(ONE): DriftKind.MISSING, str(TWO): DriftKind.MISSING})
    assert counters.writes == {("link", "create"): 1}
    assert counters.refusals == {"link": 1}
    assert counters.repairs == {("link", "missing"): 1}


def test_passes_add_up_and_the_last_one_stands():
    counters = Counters()
    for duration_s in (0.5, 0.25):
        counters.passed(report(duration_s=duration_s), {})
    assert (counters.passes, counters.passing_s, counters.last_pass_s) == (2, 0.75, 0.25)


def test_each_object_is_in_one_phase_and_an_orphan_in_trouble_counts():
    out_of_sync = {TWO: ObjectStatus(ObjectPhase.BLOCKED), THREE: ObjectStatus(ObjectPhase.FAILED)}
    table = SimpleNamespace(standing=lambda: out_of_sync)
    desired = SimpleNamespace(written={ONE: 1, TWO: 2}, suspended=False)
    controller = SimpleNamespace(state=SimpleNamespace(desired=desired, status=table))
    assert resources(controller) == {("link", "in-sync"): 1, ("link", "blocked"): 1, ("link", "failed"): 1}
