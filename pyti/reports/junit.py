"""The report as JUnit XML, as continuous integration systems read it: a test case for each task, and one for behaviour.

``failed`` is a failure, ``error`` and ``timeout`` are errors, ``skipped`` and ``not_applicable`` are skipped. The
behaviour's case fails when the level is suspicious or malicious and is an error when it is inconclusive.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from pyti.reports.model import Report
from pyti.reports.neutral import neutral_line, xml_text
from pyti.reports.view import OUTCOMES, groups

__all__ = ["render_junit"]


def render_junit(report: Report) -> str:
    """Give the report as one ``testsuites`` document; every text in it is legal XML 1.0."""
    name = neutral_line(f"{report.distribution.name} {report.distribution.version}", 200)
    suite = ET.Element(
        "testsuite", name=name, hostname=neutral_line(report.machine.machine or report.slave or "pyti", 120)
    )
    if 0 < report.finished < 4e9:
        suite.set("timestamp", datetime.fromtimestamp(report.finished, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    properties = ET.SubElement(suite, "properties")
    for key, value in (
        ("job", report.job), ("attempt", report.attempt), ("file", report.distribution.filename), ("sha256",
        report.distribution.sha256 or ""),
        ("image", report.machine.image), ("level", report.malice.level), ("exit_status", report.exit_status),
        ("pyti", report.pyti_version),
    ):  # fmt: skip
        ET.SubElement(properties, "property", name=key, value=neutral_line(value))
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    total = 0.0
    for task in report.tasks:
        case = _case(
            suite,
            f"pyti.{neutral_line(report.distribution.name, 120)}",
            neutral_line(task.name, 60),
            task.seconds,
            counts,
        )
        total += task.seconds
        cause = f"{task.cause}: " if task.cause else ""
        message = neutral_line(f"{cause}{task.detail or OUTCOMES[task.outcome][1]}", 600)
        if task.outcome == "failed":
            _verdict(case, "failure", "failures", message, task.cause or "failed", counts)
        elif task.outcome in ("error", "timeout"):
            _verdict(case, "error", "errors", message, task.outcome, counts)
        elif task.outcome in ("skipped", "not_applicable"):
            ET.SubElement(case, "skipped", message=message)
            counts["skipped"] += 1
    _behaviour(suite, report, counts)
    for element in (suite,):
        for key, count in counts.items():
            element.set(key, str(count))
        element.set("time", f"{total:.3f}")
    root = ET.Element("testsuites", suite.attrib)
    root.attrib = {key: suite.attrib[key] for key in ("tests", "failures", "errors", "skipped", "time")} | {
        "name": "pyti"
    }
    root.append(suite)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, classname: str, name: str, seconds: float, counts: dict[str, int]) -> ET.Element:
    counts["tests"] += 1
    return ET.SubElement(suite, "testcase", classname=classname, name=name, time=f"{seconds:.3f}")


def _verdict(case: ET.Element, tag: str, counter: str, message: str, kind: str, counts: dict[str, int]) -> None:
    element = ET.SubElement(case, tag, message=message, type=str(kind))
    element.text = message
    counts[counter] += 1


def _behaviour(suite: ET.Element, report: Report, counts: dict[str, int]) -> None:
    case = _case(suite, f"pyti.{neutral_line(report.distribution.name, 120)}", "behaviour", 0.0, counts)
    level = report.malice.level
    lines = [neutral_line(reason, 600) for reason in report.malice.reasons]
    for group in groups(report.findings):
        lines.append(
            neutral_line(
                f"{group.severity} {group.id} {group.title} (in {', '.join(group.places)}; {group.times} times)", 400
            )
        )
        lines += ["  " + neutral_line(line) for line in group.evidence]
    told = xml_text("\n".join(lines))
    if level in ("suspicious", "malicious"):
        _verdict(
            case,
            "failure",
            "failures",
            f"{level}: {neutral_line(report.malice.reasons[0] if report.malice.reasons else '', 400)}",
            level,
            counts,
        )
        case[-1].text = told
    elif level == "inconclusive":
        _verdict(case, "error", "errors", "inconclusive", level, counts)
        case[-1].text = told
    elif told:
        ET.SubElement(case, "system-out").text = told
    if report.failure is not None:
        failure = _case(
            suite, f"pyti.{neutral_line(report.distribution.name, 120)}", f"job: {report.failure.step}", 0.0, counts
        )
        _verdict(
            failure,
            "error",
            "errors",
            neutral_line(report.failure.message, 2000),
            neutral_line(report.failure.error, 120),
            counts,
        )
