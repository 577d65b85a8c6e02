from __future__ import annotations

import io
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyti.errors import Cause
from pyti.messages import JobFailure, Step
from pyti.rawdata.contract import JobFinished, Phase, TaskFinished
from pyti.reports import decode_report, render_html, render_json, render_junit, render_text


def outcomes(report: Any) -> dict[str, str]:
    return {task.name: task.outcome for task in report.tasks}


def test_a_good_job_passes_and_says_what_was_covered(good: Any) -> None:
    assert good.exit_status == 0
    assert good.malice.level == "none_found"
    assert good.malice.coverage.observed == ("metadata", "install", "startup", "import")
    assert good.malice.coverage.events > 0
    assert len(good.malice.coverage.rules) > 20
    assert good.findings == ()
    assert outcomes(good)["build"] == "not_applicable"
    assert good.notes == ()


def test_what_the_launcher_does_is_not_the_packages(good: Any) -> None:
    # the trace in conftest has setpriv read /etc/shadow before the phase's own command starts
    assert not [finding for finding in good.findings if finding.id.startswith("SECRET")]


def test_malware_is_called_so_with_its_reasons(bad: Any) -> None:
    assert bad.exit_status == 1
    assert bad.malice.level == "malicious"
    assert any("COMBO-001" in reason for reason in bad.malice.reasons)
    assert {finding.task for finding in bad.findings if finding.id == "NET-001"} == {"import"}


def test_tasks_keep_their_order_times_and_memory(good: Any) -> None:
    assert [task.name for task in good.tasks] == ["metadata", "build", "install", "startup", "import"]
    install = good.tasks[2]
    assert (install.seconds, install.max_rss, install.exit_status) == (2.0, 50_000_000, 0)
    assert [task.started_after for task in good.tasks] == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_a_trace_may_come_as_bytes_chunks_or_a_stream(job: Any, canary: bytes) -> None:
    job.good(without=("import",))
    job.add("import", phases=(job.phase("import", trace=canary),))
    job.finish()
    whole = job.report()
    job.traces["streams/import/import.strace"] = [canary[i : i + 777] for i in range(0, len(canary), 777)]
    chunks = job.report()
    job.traces["streams/import/import.strace"] = lambda: io.BytesIO(canary)
    assert whole == chunks == job.report()


def test_a_lost_machine_leaves_errors_of_the_infrastructure(job: Any) -> None:
    job.good(without=("import",))
    job.start("import")
    job.result = {
        "state": "failed",
        "failure": JobFailure(
            step=Step.RUN,
            cause=Cause.INFRASTRUCTURE,
            error="GuestUnreachable",
            message="the guest is gone",
            remedy="Run it again.",
        ),
    }
    report = job.report()
    lost = report.tasks[-1]
    assert (lost.name, lost.outcome, lost.cause) == ("import", "error", Cause.INFRASTRUCTURE)
    assert "the guest is gone" in lost.detail
    assert report.malice.level == "inconclusive"
    assert report.exit_status == 3
    assert "Run it again." in render_text(report)


def test_the_trace_of_a_lost_machine_is_still_evidence(job: Any, canary: bytes) -> None:
    job.good(without=("import",))
    job.start("import")
    job.traces["streams/import/modules.strace"] = canary
    report = job.report()
    # without the record there is no argv; the first program behind the launcher counts
    assert report.malice.level == "malicious"


def test_the_jobs_time_limit_makes_timeouts_not_errors(job: Any) -> None:
    job.good(without=("import",))
    job.start("import")
    job.result = {
        "state": "failed",
        "failure": JobFailure(
            step=Step.RUN, cause=Cause.RESOURCE, error="TimeLimitExceeded", message="too long", timeout=True
        ),
    }
    report = job.report()
    assert report.tasks[-1].outcome == "timeout"
    assert report.exit_status == 3


def test_a_failure_before_any_record_is_a_report_too(job: Any) -> None:
    job.records.clear()
    job.result = {
        "state": "failed",
        "failure": JobFailure(
            step=Step.RESOLVE,
            cause=Cause.PACKAGE,
            error="ResolutionImpossible",
            message="a needs b<1\nc needs b>2",
            remedy="Relax one.",
        ),
    }
    report = job.report()
    assert report.exit_status == 1
    assert report.malice.level == "inconclusive"
    text = render_text(report)
    assert "a needs b<1" in text
    assert "Relax one." in text


def test_its_own_broken_build_is_no_gap_in_the_verdict(job: Any) -> None:
    job.add("metadata")
    job.add("build", "failed", phases=(job.phase("build", exit_status=1),))
    for task in ("install", "startup", "import"):
        job.add(task, "skipped", phases=(), detail="needs build, which failed")
    report = job.finish().report()
    assert report.malice.level == "none_found"
    assert any("build failed" in reason for reason in report.malice.reasons)
    assert report.exit_status == 1


def test_a_missing_library_leaves_the_verdict_open_and_names_it(job: Any) -> None:
    job.add("metadata")
    job.add("build", "failed", phases=(job.phase("build", exit_status=1),))
    job.streams["streams/build/build.stderr"] = b"fatal error: ffi.h: No such file or directory\n"
    job.add("install", "skipped", phases=())
    report = job.finish().report()
    build = report.tasks[1]
    assert (build.cause, build.detail) == (Cause.ENVIRONMENT, "the header ffi.h is missing")
    assert report.malice.level == "inconclusive"
    assert report.exit_status == 1


def test_a_truncated_trace_of_the_import_is_inconclusive(job: Any) -> None:
    job.good(without=("import",))
    job.add("import", phases=(job.phase("import", truncated=True),))
    report = job.finish().report()
    assert report.malice.level == "inconclusive"
    assert report.malice.coverage.partial == ("import",)
    assert report.exit_status == 3


def test_a_missing_trace_of_the_import_is_inconclusive(job: Any) -> None:
    job.good(without=("import",))
    job.add("import", phases=(job.phase("import", trace=None),))
    report = job.finish().report()
    assert report.malice.level == "inconclusive"


def test_the_agents_own_untraced_tools_are_no_gap(job: Any) -> None:
    job.good(without=("install",))
    job.add("install", phases=(job.phase("install"), Phase(phase="check", exit_status=0)))
    assert job.finish().report().malice.level == "none_found"


def test_a_timeout_of_the_import_is_inconclusive(job: Any) -> None:
    job.good(without=("import",))
    job.add("import", "timeout", phases=(job.phase("import", exit_status=None, signal=9, limit="wall"),))
    report = job.finish().report()
    assert report.malice.level == "inconclusive"
    assert report.exit_status == 3


def test_failing_tests_fail_the_job_and_nothing_more(job: Any) -> None:
    job.good()
    job.add("tests", "failed", data={"passed": 3, "failed": 1}, phases=(job.phase("tests", exit_status=1),))
    report = job.finish().report()
    assert report.exit_status == 1
    assert report.malice.level == "none_found"


def test_a_lying_guest_is_noted_and_never_crashes(job: Any) -> None:
    job.good()
    job.records.append(TaskFinished(seq=1, at=-1e300, job="job-other", attempt=1, task="import", outcome="passed"))
    job.records.append(TaskFinished(seq=2, at=1e300, job="job-0001", attempt=1, task="import", outcome="failed"))
    job.records.append(TaskFinished(seq=2, at=0.0, job="job-0001", attempt=1, task="mining", outcome="passed"))
    job.finish()
    job.records.append(JobFinished(seq=99, at=0.0, job="job-0001", attempt=1))
    report = job.report()
    assert len(report.notes) >= 4
    assert outcomes(report)["import"] == "passed"
    assert "mining" not in outcomes(report)


def test_a_task_that_was_asked_for_and_never_mentioned_is_an_error(job: Any) -> None:
    job.run = type(job.run)(job="job-0001", distribution=job.distribution, tasks=("import", "tests"))
    job.good()
    report = job.finish().report()
    assert outcomes(report)["tests"] == "error"
    assert report.exit_status == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    data=st.dictionaries(
        st.text(max_size=6),
        st.recursive(st.none() | st.text(max_size=6) | st.floats(), lambda s: st.lists(s, max_size=3)),
        max_size=4,
    ),
    detail=st.text(max_size=40),
    at=st.floats(),
    trace=st.binary(max_size=300),
    stderr=st.binary(max_size=300),
)
def test_whatever_a_guest_sends_gives_a_report_that_renders(
    raw_job: Any, data: Any, detail: str, at: float, trace: bytes, stderr: bytes
) -> None:
    job = raw_job()
    job.clock = at
    phase = job.phase("install", trace=b'7 1.0 execve("/x", ["x"], 0x1) = 0\n' + trace)
    job.add("install", "failed", data=data | {"pth": data}, detail=detail, phases=(phase,), wall_s=0.0)
    job.streams["streams/install/install.stderr"] = stderr
    report = job.finish().report(lock=detail)
    assert decode_report(render_json(report)) == report
    assert render_html(report)
    assert render_junit(report)
    assert render_text(report)
