"""``pyti test`` refuses what cannot work before it starts anything; what follows is for the system tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "named", "remedy"),
    [
        ([], "nothing to test", "pyti test six"),
        (["six", "--profile", "thorough"], "'thorough'", "quick, default, full"),
        (["six", "--task", "import", "--task", "fly"], "'fly'", "entry-points"),
        (["six", "--sdist", "--wheel"], "exclude one another", "only one"),
        (["six", "--wheel", "--all-files"], "exclude one another", "only one"),
        (["six", "--memory", "1"], "memory_mib", "pyti test --help"),
        (["six", "--cpus", "0"], "cpus", "pyti test --help"),
        (["six", "--time-limit", "-1"], "time_limit_s", "pyti test --help"),
        (["six", "--slots", "0"], "--slots", ""),
        (["six", "pyti =="], "pyti ==", "name==1.2"),
        (["./dist/x-1.0.tar.gz"], "looks like a file", "--file"),
        (["x @ https://index.example/x-1.0.tar.gz"], "from a URL", "--file"),
        (["--file", "nothing-1.0.tar.gz"], "nothing-1.0.tar.gz", "--file"),
        (["--file", "."], "there is no file", "--file"),
        (["six", "--output", "/dev/null/reports"], "/dev/null/reports", "--output"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_starts(
    pyti: Run, home: Path, arguments: list[str], named: str, remedy: str
) -> None:
    outcome = pyti("test", *arguments)

    assert outcome.status == 2
    assert outcome.out == ""
    assert named in outcome.said
    assert remedy in outcome.said
    assert not home.exists()


def test_without_an_image_the_remedy_is_named(pyti: Run) -> None:
    outcome = pyti("test", "six")

    assert outcome.status == 3
    assert "bookworm" in outcome.said
    assert "pyti image build" in outcome.said
    assert outcome.out == ""


def test_a_home_that_cannot_be_used_is_named(pyti: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYTI_HOME", str(tmp_path / "file" / "home"))

    outcome = pyti("test", "six")

    assert outcome.status == 3
    assert str(tmp_path / "file") in outcome.said
    assert "Remedy:" in outcome.said
