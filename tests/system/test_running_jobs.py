"""While jobs run: slots are used, the slave says what it does, the loop stays free, and nothing is left afterwards."""

from __future__ import annotations

import subprocess

import pytest

from pyti import Settings
from pyti.machines import ImageStore

pytestmark = [pytest.mark.machine, pytest.mark.index]


def test_both_slots_are_used_at_once(observed) -> None:
    assert max(len(presence.activities) for presence in observed.presences) == 2


def test_a_slave_tells_which_machine_is_at_which_step_for_which_job(observed) -> None:
    activities = [activity for presence in observed.presences for activity in presence.activities]

    assert any(activity.step == "run" and activity.task and activity.machine for activity in activities)
    known = {report.job for report in observed.reports.values()}
    assert {activity.job for activity in activities} <= known


def test_the_event_loop_is_never_blocked_for_more_than_50_ms(observed) -> None:
    assert [str(each) for each in observed.blocked] == []


def test_no_job_needed_a_second_attempt(observed) -> None:
    assert {name: report.attempt for name, report in observed.reports.items() if report.attempt != 1} == {}


def test_no_domain_overlay_socket_or_process_is_left(observed, system_settings: Settings) -> None:
    machines = {report.machine.machine for report in observed.reports.values() if report.machine.machine}
    assert machines

    domains = subprocess.run(
        ["virsh", "--connect", system_settings.libvirt_uri, "list", "--all", "--name"],
        capture_output=True, text=True, check=True, timeout=30,
    ).stdout.split()  # fmt: skip
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True, timeout=30).stdout
    files = {path.name for path in (system_settings.home / "machines").rglob("*")}

    for machine in machines:
        assert machine not in domains
        assert f"guest={machine}," not in processes
        assert machine.rsplit("-", 1)[-1] not in files


def test_the_image_is_still_whole(observed, system_settings: Settings) -> None:
    assert not ImageStore(system_settings.home).get(system_settings.machines.image).stale
