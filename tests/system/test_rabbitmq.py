"""Master, slave and client as processes of their own over a real RabbitMQ; a lost slave hurts nobody."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.machine, pytest.mark.broker]

DEMO = Path(__file__).parents[2] / "examples" / "rabbitmq_demo.py"
END_LIMIT_S = 120


@pytest.fixture
async def broker():
    from pyti.bus.testing import PrivateBroker

    async with PrivateBroker() as started:
        yield started


@pytest.fixture
def over_rabbitmq(command, broker, small_index, make_wheel):
    """The command line with a broker, and projects on the index."""
    for name in ("goodone", "goodtwo"):
        small_index.add(f"{name}-1.0-py3-none-any.whl", make_wheel(name, "1.0", {f"{name}.py": "x = 1\n"}))
    small_index.add(
        "sleeper-1.0-py3-none-any.whl",
        make_wheel("sleeper", "1.0", {"sleeper.py": "import time\ntime.sleep(600)\n"}),
    )
    command.environment |= {
        "PYTI_BUS__URL": broker.url,
        "PYTI_MASTER__LEASE_S": "4.0",
        "PYTI_SLAVE__HEARTBEAT_S": "1.0",
        "PYTI_SLAVE__GRACE_S": "1.0",
    }
    return command


def service(command, role: str, name: str) -> subprocess.Popen[str]:
    command.environment["PYTI_SLAVE__NAME"] = name
    with (command.folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pyti", role], env=command.environment, stdout=log, stderr=log, text=True
        )


def until(command, what, *arguments: str, limit_s: float = 120):
    """Ask again until the answer is as wanted."""
    end = time.monotonic() + limit_s
    while True:
        done = command.run(*arguments, "--json")
        answer = json.loads(done.out) if done.status == 0 else None
        if answer is not None and what(answer):
            return answer
        assert time.monotonic() < end, (done, [path.read_text()[-3000:] for path in command.folder.glob("*.log")])
        time.sleep(0.5)


def stop(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(END_LIMIT_S)
        finally:
            process.kill()


@pytest.mark.index
def test_the_demo_over_rabbitmq_prints_a_report(image, command) -> None:
    command.environment.pop("PYTI_INDEX__URL")
    command.environment.pop("PYTI_STORE__URL")
    done = subprocess.run(
        [sys.executable, str(DEMO), "six==1.17.0"],
        env=command.environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert "PASSED: six 1.17.0" in done.stdout
    assert "management UI: http://127.0.0.1:" in done.stderr


def test_submit_jobs_slaves_show_and_report_work_across_processes(over_rabbitmq) -> None:
    command = over_rabbitmq
    master, slave = service(command, "master", "m"), service(command, "slave", "across")
    try:
        until(command, lambda slaves: slaves, "slaves")

        waited = command.run("submit", "goodone", "--profile", "quick", "--wait", "--quiet", "--json", limit_s=300)
        (job,) = until(command, lambda jobs: jobs, "jobs")
        shown = command.run("show", job["job"])
        html = command.run("report", job["job"], "--format", "html")
        unknown = command.run("submit", "no-such-thing")

        assert waited.status == 0, waited.err
        assert json.loads(waited.out)["distribution"]["name"] == "goodone"
        assert (job["state"], job["exit_status"]) == ("done", 0)
        assert "goodone-1.0-py3-none-any.whl" in shown.out
        assert html.out.startswith("<!DOCTYPE html>") or html.out.startswith("<!doctype html>")
        assert unknown.status == 2
        assert "no-such-thing" in unknown.err
    finally:
        stop(slave, master)
    assert (slave.returncode, master.returncode) == (0, 0)


def test_a_job_whose_slave_is_killed_is_finished_by_another_one(over_rabbitmq, remains) -> None:
    command = over_rabbitmq
    master, first = service(command, "master", "m"), service(command, "slave", "first")
    second = None
    try:
        until(command, lambda slaves: slaves, "slaves")
        command.run("submit", "sleeper", "--profile", "quick", "--time-limit", "20")
        until(command, lambda jobs: jobs[0]["task"] in ("install", "import"), "jobs")

        first.kill()
        first.wait(END_LIMIT_S)
        second = service(command, "slave", "second")
        (job,) = until(command, lambda jobs: jobs[0]["finished"], "jobs", limit_s=240)

        assert job["attempt"] == 2
        assert job["slave"] == "second"
        report = json.loads(command.run("report", job["job"], "--format", "json").out)
        assert {task["name"]: task["outcome"] for task in report["tasks"]}["import"] == "timeout"
    finally:
        stop(*(process for process in (second, first, master) if process))


def test_a_running_job_is_cancelled_within_seconds_and_its_machine_destroyed(over_rabbitmq) -> None:
    command = over_rabbitmq
    master, slave = service(command, "master", "m"), service(command, "slave", "cancelling")
    try:
        until(command, lambda slaves: slaves, "slaves")
        command.run("submit", "sleeper", "--profile", "quick")
        (job,) = until(command, lambda jobs: jobs[0]["task"] == "import", "jobs")

        command.run("cancel", job["job"])
        (job,) = until(command, lambda jobs: jobs[0]["finished"], "jobs", limit_s=30)

        assert job["state"] == "cancelled"
        until(command, lambda slaves: slaves[0]["free"] == slaves[0]["slots"], "slaves", limit_s=30)
        assert list((command.home / "machines" / "cancelling").rglob("overlay*")) == []
    finally:
        stop(slave, master)
