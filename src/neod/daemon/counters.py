"""What happened since the start, counted for whoever draws it. Pure; decides nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from neod.model.change import Report
from neod.model.status import DriftKind


@dataclass(slots=True)
class Counters:
    """Counts that only grow, and the length of the last pass."""

    passes: int = 0
    passing_s: float = 0.0  # all passes together
    last_pass_s: float = 0.0
    writes: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind, op
    refusals: Counter[str] = field(default_factory=Counter)  # kind
    repairs: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind, drift
    reloads: Counter[str] = field(default_factory=Counter)  # used | invalid | unconfirmed

    def passed(self, report: Report, drifts: Mapping[str, DriftKind]) -> None:
        """Count a pass and what it wrote. *drifts*: what its repairs repaired, by key text."""
        self.passes += 1
        self.passing_s += report.duration_s
        self.last_pass_s = report.duration_s
        for outcome in report.outcomes:
            change = outcome.change
            if outcome.error is not None:
                self.refusals[change.key.kind] += 1
            elif not outcome.skipped:
                self.writes[change.key.kind, str(change.op)] += 1
                if drift := drifts.get(str(change.key)):
                    self.repairs[change.key.kind, str(drift)] += 1
