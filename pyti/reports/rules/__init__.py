"""The rules: each family recognises one kind of behaviour in a phase's events; ``watch`` applies them all.

``table`` lists every rule with its stable id and its severity in each kind of phase.
"""

from __future__ import annotations

from pyti.reports.rules.sighting import Layout, PhaseContext, Sighting
from pyti.reports.rules.table import RANK, RULES, Rule, stage_of
from pyti.reports.rules.watch import EVIDENCE_LINES, PhaseWatch

__all__ = ["EVIDENCE_LINES", "RANK", "RULES", "Layout", "PhaseContext", "PhaseWatch", "Rule", "Sighting", "stage_of"]
