"""All four renderers on a harmless and on a hostile report."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from pyti.messages import Distribution, DistributionKind
from pyti.reports import decode_report, render_html, render_json, render_junit, render_text, report_schema

SCHEMA = Path(__file__).parents[2] / "schemas" / "report.schema.json"


class Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def hostile(bad: Any) -> Any:
    evil = "</style><script>alert(1)</script>\x1b[31m\u202e<![CDATA[ ]]> & \"'\x00\ufffe"
    return msgspec.structs.replace(
        bad, slave=evil, notes=(evil,), lock=evil, tools={evil: evil},
        distribution=Distribution(name=evil[:200], version=evil, filename="a-1.whl", kind=DistributionKind.WHEEL),
        tasks=tuple(msgspec.structs.replace(task, detail=evil) for task in bad.tasks),
        findings=tuple(msgspec.structs.replace(finding, evidence=(evil,)) for finding in bad.findings),
    )  # fmt: skip


def test_text_tells_the_verdict_first_and_the_advice_last(good: Any, bad: Any) -> None:
    assert render_text(good).splitlines()[0].startswith("PASSED: some-dist 1.2")
    assert render_text(bad).splitlines()[0].startswith("MALICIOUS: some-dist 1.2")
    assert f"pyti report {good.job} --format json" in render_text(good).splitlines()[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_text_keeps_to_its_width(hostile: Any, bad: Any, width: int) -> None:
    for report in (hostile, bad):
        assert max(map(len, render_text(report, width=width).splitlines())) <= width


def test_text_without_colour_has_no_escape_and_with_colour_only_colours(hostile: Any) -> None:
    plain = render_text(hostile)
    assert all(line.isprintable() for line in plain.split("\n"))
    coloured = render_text(hostile, color=True)
    assert "\x1b[" in coloured
    assert "\x1b" not in re.sub(r"\x1b\[[0-9;]*m", "", coloured)


def test_text_says_everything_in_words(bad: Any) -> None:
    text = render_text(bad)
    for words in (
        "passed",
        "failed",
        "not applicable",
        "critical COMBO-001",
        "Covered:",
        "cloned" if bad.machine.template else "bookworm",
    ):
        assert words in text


def test_json_is_complete_and_comes_back(bad: Any) -> None:
    document = json.loads(render_json(bad))
    assert set(document) >= {
        "job",
        "attempt",
        "distribution",
        "machine",
        "tasks",
        "findings",
        "quality",
        "malice",
        "lock",
        "timings",
    }
    assert set(document["malice"]) == {"level", "reasons", "coverage"}
    assert set(document["tasks"][0]) >= {"name", "outcome", "cause", "detail", "seconds", "max_rss"}
    assert set(document["findings"][0]) >= {"id", "severity", "phase", "evidence"}
    assert set(document["timings"]) >= {"clone", "deliver", "run", "destroy", "total"}
    assert decode_report(render_json(bad)) == bad


def test_json_of_hostile_texts_holds_no_control_characters(hostile: Any) -> None:
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", render_json(hostile))


def test_the_committed_schema_is_the_codes() -> None:
    assert json.loads(SCHEMA.read_text()) == report_schema()


def test_html_needs_nothing_from_elsewhere_and_runs_nothing(hostile: Any) -> None:
    page = Page(render_html(hostile))
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base", "form", "input"})
    for _, attributes in page.tags:
        assert not any(name.startswith("on") or name in ("src", "href", "style") for name in attributes)


def test_htmls_policy_allows_its_own_style_alone(bad: Any) -> None:
    source = render_html(bad)
    style = re.search(r"<style>(.*?)</style>", source, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    policies = [
        attributes["content"]
        for tag, attributes in Page(source).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"]


def test_html_shows_hostile_text_as_text(hostile: Any) -> None:
    source = render_html(hostile)
    assert "<script" not in source
    assert "&lt;script&gt;alert(1)" in source
    assert all(line.isprintable() for line in source.split("\n"))


def test_html_is_accessible_in_its_structure(bad: Any) -> None:
    page = Page(render_html(bad))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.tags:
        for name in (attributes.get("aria-labelledby") or "").split():
            assert name in ids
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert ("html", {"lang": "en"}) in page.tags
    assert any(tag == "svg" and attributes.get("role") == "img" for tag, attributes in page.tags)
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")


def test_the_timeline_stays_within_its_picture(bad: Any) -> None:
    page = Page(render_html(bad))
    bars = [attributes for tag, attributes in page.tags if tag == "rect"]
    assert len(bars) == sum(task.outcome != "not_applicable" for task in bad.tasks)
    assert all(float(bar["x"] or 0) >= 0 and float(bar["x"] or 0) + float(bar["width"] or 0) <= 600 for bar in bars)


def test_junit_has_a_case_for_each_task_and_counts_right(bad: Any, good: Any, hostile: Any) -> None:
    for report in (bad, good, hostile):
        root = ET.fromstring(render_junit(report))  # noqa: S314 - as above
        suite = root.find("testsuite")
        assert suite is not None
        cases = suite.findall("testcase")
        assert [case.get("name") for case in cases] == [task.name for task in report.tasks] + ["behaviour"]
        assert int(suite.get("tests", "0")) == len(cases)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert (
                int(suite.get(attribute, "-1"))
                == len(suite.findall(f"testcase/{tag}"))
                == int(root.get(attribute, "-1"))
            )


def test_junit_tells_kinds_of_trouble_apart(job: Any) -> None:
    job.good(without=("import",))
    job.add("import", "timeout", phases=(job.phase("import", exit_status=None, signal=9, limit="wall"),))
    job.add("tests", "failed", phases=(job.phase("tests", exit_status=1),))
    root = ET.fromstring(render_junit(job.finish().report()))  # noqa: S314 - as above
    kinds = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert kinds["build"] == ["skipped"]
    assert kinds["import"] == ["error"]
    assert kinds["tests"] == ["failure"]
    assert kinds["behaviour"] == ["error"]
    assert kinds["install"] == []
