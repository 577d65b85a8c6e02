"""Reports are written whole, for people and programs, or the reason is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from pyti.cli.output import check_folder, overall_status, print_reports, rendered, write_report
from pyti.errors import OutOfSpace, UsageError
from pyti.reports import Report, decode_report

Make = Callable[..., Any]
FULL = Path("/dev/full")
"""A device that has no space left, whoever writes."""


@pytest.fixture
def report(make_report: Make) -> Report:
    found: Report = make_report("job-0007", bad=True)[1]
    return found


def test_every_format_and_the_lock_are_written(report: Report, tmp_path: Path) -> None:
    place = write_report(report, tmp_path / "out")

    assert place == tmp_path / "out" / "job-0007"
    assert {path.name for path in place.iterdir()} == {
        "report.json",
        "report.html",
        "report.junit.xml",
        "report.txt",
        "pylock.toml",
    }
    assert decode_report((place / "report.json").read_bytes()) == report
    assert (place / "pylock.toml").read_text() == 'lock-version = "1.0"\n'
    assert ET.parse(place / "report.junit.xml").getroot().tag in ("testsuite", "testsuites")  # noqa: S314 - ours
    assert "\x1b" not in (place / "report.txt").read_text()


def test_without_a_lock_none_is_written(report: Report, tmp_path: Path) -> None:
    place = write_report(msgspec.structs.replace(report, lock=None), tmp_path)

    assert not (place / "pylock.toml").exists()


@pytest.mark.parametrize("name", ["report.json", "report.txt", "pylock.toml"])
def test_a_full_disk_is_told_and_where_the_report_is_kept(report: Report, tmp_path: Path, name: str) -> None:
    place = tmp_path / report.job
    place.mkdir()
    (place / name).symlink_to(FULL)

    with pytest.raises(OutOfSpace, match="No space left") as caught:
        write_report(report, tmp_path)

    assert str(place) in caught.value.message
    assert "pyti report job-0007" in caught.value.remedy


def test_a_folder_that_cannot_be_is_refused(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot write reports") as caught:
        check_folder(tmp_path / "file" / "out")
    with pytest.raises(OutOfSpace, match="Not a directory"):
        write_report(report, tmp_path / "file")

    assert "--output" in caught.value.remedy


def test_a_folder_may_be_there_or_not(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    check_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize(
    ("statuses", "overall"),
    [((), 0), ((0,), 0), ((0, 1, 0), 1), ((1, 3, 0), 3), ((3, 1), 3), ((0, 0), 0)],
)
def test_the_overall_status_is_the_worst(report: Report, statuses: tuple[int, ...], overall: int) -> None:
    reports = [msgspec.structs.replace(report, exit_status=status) for status in statuses]

    assert overall_status(reports) == overall


def test_json_is_one_object_or_a_list(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    print_reports([report], as_json=True)
    one = json.loads(capsys.readouterr().out)
    print_reports([report, report], as_json=True)
    two = json.loads(capsys.readouterr().out)
    print_reports([], as_json=True)
    none = json.loads(capsys.readouterr().out)

    assert one["job"] == "job-0007"
    assert two == [one, one]
    assert none == []


def test_text_is_printed_without_escapes_where_nobody_watches(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    print_reports([report, report], as_json=False)

    shown = capsys.readouterr().out
    assert shown.count("job-0007") >= 2
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_colours_need_a_terminal_and_consent(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in rendered(report, "text", terminal=True)
    assert "\x1b[" not in rendered(report, "text")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in rendered(report, "text", terminal=True)


def test_an_unknown_format_is_refused(report: Report) -> None:
    with pytest.raises(UsageError, match="pdf") as caught:
        rendered(report, "pdf")

    assert "junit" in caught.value.remedy
