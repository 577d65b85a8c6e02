"""Every rule: its stable id, its title, and the severity that it has by itself in each kind of phase.

The kinds: *quiet* (metadata, install, startup, import, entry-points, uninstall: nobody asked the distribution to do
anything), *build* (its build script runs, with compilers), *late* (tests and linters: doing things is their purpose).
"""

from __future__ import annotations

from typing import NamedTuple

from pyti.reports.model import Severity

__all__ = ["RANK", "RULES", "Rule", "Stage", "stage_of"]

RANK: dict[str, int] = {"info": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}
"""Severities in order."""

Stage = str
"""``quiet``, ``build`` or ``late``."""


class Rule(NamedTuple):
    """One rule; a rule may raise or lower its severity by what exactly it saw, as docs/reference/findings.md tells."""

    id: str
    title: str
    quiet: Severity
    build: Severity
    late: Severity

    def severity(self, stage: Stage) -> Severity:
        """Give the severity in a phase of that kind."""
        return self.quiet if stage == "quiet" else self.build if stage == "build" else self.late


_ALL = (
    Rule("NET-001", "tried to reach another machine", "high", "medium", "info"),
    Rule("NET-002", "tried to look up a name in DNS", "medium", "low", "info"),
    Rule("NET-003", "opened a port to other machines", "medium", "low", "info"),
    Rule("NET-004", "talked to a service that holds keys or power over the machine", "high", "medium", "low"),
    Rule("PROC-001", "started another program", "low", "info", "info"),
    Rule("PROC-002", "started a download tool, or a shell that downloads", "high", "medium", "low"),
    Rule("PROC-003", "ran a program that it had just written", "high", "info", "info"),
    Rule("PROC-004", "ran encoded or generated code in a new interpreter", "high", "medium", "info"),
    Rule("PROC-005", "sent a signal to a process that is not its own", "medium", "low", "info"),
    Rule("FILE-001", "wrote outside the places that are its own", "low", "low", "info"),
    Rule("FILE-002", "wrote where code or logins start later", "high", "high", "low"),
    Rule("FILE-003", "changed or removed files that are not its own", "medium", "medium", "info"),
    Rule("FILE-004", "changed another distribution's installed files", "medium", "low", "info"),
    Rule("SECRET-001", "read a file that holds secrets", "high", "high", "low"),
    Rule("SECRET-002", "tried to read a file that holds secrets, and failed", "medium", "medium", "info"),
    Rule("SECRET-003", "read another process's environment or memory", "high", "high", "low"),
    Rule("PTH-001", "runs code at every start of the interpreter (.pth)", "low", "low", "low"),
    Rule(
        "PTH-002", "runs obfuscated or networking code at every start of the interpreter (.pth)", "high", "high", "high"
    ),
    Rule("KERN-001", "used a call that ordinary packages have no use for", "high", "medium", "low"),
    Rule("KERN-002", "created a file in memory only", "low", "low", "info"),
    Rule("KERN-003", "looked whether it is being watched", "info", "info", "info"),
    Rule("COMBO-001", "read secrets, then tried to reach another machine", "critical", "critical", "medium"),
    Rule("COMBO-002", "downloaded code straight into an interpreter", "critical", "high", "medium"),
    Rule(
        "COMBO-003",
        "tried to reach another machine, then ran a program that it had just written",
        "critical",
        "high",
        "info",
    ),
    Rule(
        "COMBO-004",
        "made itself start again later, and tried to reach another machine",
        "critical",
        "critical",
        "medium",
    ),
    Rule(
        "COMBO-005",
        "obfuscated .pth code that tried to reach another machine, run a download or read secrets",
        "critical",
        "critical",
        "critical",
    ),
    Rule("COMBO-006", "read secrets, then started a download tool", "critical", "critical", "medium"),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _ALL}
"""All rules by id."""


def stage_of(task: str, phase: str) -> Stage:
    """Say of which kind a phase is; installing something for the tests is as quiet as any installation."""
    if task in ("tests", "pylint", "pep8"):
        return "quiet" if "install" in phase else "late"
    if task == "build" or "build" in phase:
        return "build"
    return "quiet"
