"""Interrupted or killed at any step, nothing is leaked and nothing is lost."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.machine

END_LIMIT_S = 90
BUSY = "import time\ntime.sleep(600)\n"


@pytest.fixture
def long_job(small_index, make_wheel) -> str:
    """A distribution whose import takes as long as it may."""
    small_index.add("sleeper-1.0-py3-none-any.whl", make_wheel("sleeper", "1.0", {"sleeper.py": BUSY}))
    return "sleeper"


def lines_until(process: subprocess.Popen[str], text: str, limit_s: float = 120) -> Iterator[str]:
    """Read progress until a line has the text."""
    assert process.stderr is not None
    end = time.monotonic() + limit_s
    for line in process.stderr:
        yield line
        if text in line or time.monotonic() > end:
            return


@pytest.mark.parametrize("step", ["download", "resolve", "clone", "deliver", "run install", "run import"])
def test_ctrl_c_at_a_step_destroys_the_machine_and_ends_the_job(command, long_job, remains, step) -> None:
    process = command.start("test", long_job, "--profile", "quick")
    seen = list(lines_until(process, f": {step}"))
    assert f": {step}" in seen[-1], seen

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=END_LIMIT_S)

    assert process.returncode == 130, err
    assert "interrupted" in err
    assert remains(process.pid) == []
    jobs = json.loads(command.run("jobs", "--json").out)
    assert [job["state"] for job in jobs] == ["cancelled"]


def test_what_a_killed_process_leaves_is_swept_by_the_next_one(
    command, long_job, remains, small_index, make_wheel
) -> None:
    small_index.add("goodone-1.0-py3-none-any.whl", make_wheel("goodone", "1.0", {"goodone.py": ""}))
    process = command.start("test", long_job, "--profile", "quick")
    list(lines_until(process, "run import"))
    process.kill()
    process.communicate(timeout=END_LIMIT_S)
    # A lease of a dead process runs out before its job may be ended.
    time.sleep(1)

    after = command.run("test", "goodone", "--profile", "quick", "--quiet")

    assert after.status == 0, after.err
    assert [left for left in remains(process.pid) if "/slaves/" not in left] == []


def test_two_commands_at_once_do_not_disturb_each_other(command, small_index, make_wheel) -> None:
    for name in ("goodone", "goodtwo"):
        small_index.add(f"{name}-1.0-py3-none-any.whl", make_wheel(name, "1.0", {f"{name}.py": ""}))

    processes = [
        command.start("test", name, "--profile", "quick", "--quiet", "--json") for name in ("goodone", "goodtwo")
    ]
    outs = [process.communicate(timeout=300) for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outs
    assert [json.loads(out)["distribution"]["name"] for out, _ in outs] == ["goodone", "goodtwo"]
    assert len(json.loads(command.run("jobs", "--json").out)) == 2


def test_cancelling_from_another_process_ends_the_job(command, long_job, remains) -> None:
    process = command.start("test", long_job, "--profile", "quick", "--json")
    list(lines_until(process, "run import"))
    (job,) = json.loads(command.run("jobs", "--json").out)

    cancelled = command.run("cancel", job["job"], "--reason", "enough")
    out, _ = process.communicate(timeout=END_LIMIT_S)

    assert cancelled.status == 0
    assert json.loads(out)["state"] == "cancelled"
    assert remains(process.pid) == []
