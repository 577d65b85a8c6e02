"""Apply every family of rules to one phase, gather what they see, and recognise dangerous combinations."""

from __future__ import annotations

from collections.abc import Iterable

from pyti.reports.events import Event
from pyti.reports.model import Finding, Severity
from pyti.reports.neutral import neutral_line
from pyti.reports.rules.files import FileRules
from pyti.reports.rules.kernel import KernelRules
from pyti.reports.rules.network import NetworkRules
from pyti.reports.rules.processes import ProcessRules
from pyti.reports.rules.secrets import SecretRules
from pyti.reports.rules.sighting import Family, PhaseContext, Sighting
from pyti.reports.rules.table import RANK, RULES

__all__ = ["EVIDENCE_LINES", "PhaseWatch"]

EVIDENCE_LINES = 8
"""Lines of evidence kept for one finding; the count goes on."""
_MAX_KEYS = 5000


class _Gathered:
    """One finding while it grows."""

    __slots__ = ("count", "evidence", "keys", "severity")

    def __init__(self) -> None:
        self.count = 0
        self.severity: Severity = "info"
        self.evidence: list[str] = []
        self.keys: set[str] = set()


class PhaseWatch:
    """The findings of one phase. ``see`` its events in order, then take ``findings()``."""

    def __init__(self, context: PhaseContext, *, harmful_pth: bool = False) -> None:
        self._context = context
        self._harmful_pth = harmful_pth
        self._families: tuple[Family, ...] = (
            NetworkRules(context), ProcessRules(context), FileRules(context), SecretRules(context),
            KernelRules(context),
        )  # fmt: skip
        self._gathered: dict[str, _Gathered] = {}
        self._secret = ""
        self._contact = ""
        self._persistence = ""

    def see(self, event: Event) -> None:
        """Show one event to every family."""
        for family in self._families:
            for sighting in family.see(event):
                self.add(sighting)
                self._combine(sighting)

    def add(self, sighting: Sighting) -> None:
        """Count a sighting; evidence and severity come from each distinct ``key`` once."""
        gathered = self._gathered.setdefault(sighting.rule, _Gathered())
        severity = sighting.severity or RULES[sighting.rule].severity(self._context.stage)
        if RANK[severity] > RANK[gathered.severity]:
            gathered.severity = severity
        key = sighting.key or sighting.evidence
        if key in gathered.keys:
            gathered.count += 1
            return
        gathered.count += 1
        if len(gathered.keys) < _MAX_KEYS:
            gathered.keys.add(key)
        if len(gathered.evidence) < EVIDENCE_LINES:
            gathered.evidence.append(neutral_line(sighting.evidence))

    def _combine(self, sighting: Sighting) -> None:
        rule, told = sighting.rule, sighting.evidence
        if rule in ("SECRET-001", "SECRET-003") and sighting.strong:
            self._secret = self._secret or told
        elif rule == "FILE-002" and sighting.strong and not told.endswith(")"):
            self._persistence = self._persistence or told
            if self._contact:
                self._both("COMBO-004", self._contact, told)
        elif rule in ("NET-001", "NET-002"):
            if self._secret:
                self._both("COMBO-001", self._secret, told)
            if self._persistence and rule == "NET-001":
                self._both("COMBO-004", self._persistence, told)
            if rule == "NET-001":
                self._contact = self._contact or told
        elif rule == "PROC-002" and self._secret:
            self._both("COMBO-006", self._secret, told)
        elif rule == "PROC-003" and self._contact:
            self._both("COMBO-003", self._contact, told)
        if (
            self._harmful_pth
            and self._context.task in ("startup", "import")
            and rule in ("NET-001", "PROC-002", "SECRET-001", "COMBO-002")
        ):
            self._both("COMBO-005", "a .pth file holds obfuscated or networking code", told)

    def _both(self, rule: str, first: str, then: str) -> None:
        if rule not in self._gathered:
            self.add(Sighting(rule, f"first: {first}", key="first"))
            self._gathered[rule].count = 0
        self.add(Sighting(rule, f"then: {then}"))

    def see_all(self, events: Iterable[Event]) -> int:
        """Show many events; give their number."""
        number = 0
        for event in events:
            self.see(event)
            number += 1
        return number

    def findings(self) -> list[Finding]:
        """Give what was found in this phase, the gravest first."""
        found = [
            Finding(
                id=rule, severity=gathered.severity, title=RULES[rule].title, task=self._context.task,
                phase=self._context.phase,
                evidence=tuple(gathered.evidence), count=max(1, gathered.count),
            )
            for rule, gathered in self._gathered.items()
        ]  # fmt: skip
        return sorted(found, key=lambda finding: (-RANK[finding.severity], finding.id))
