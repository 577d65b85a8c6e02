"""Distributions of every kind, from the real index and from here, come out right."""

from __future__ import annotations

import tomllib
from collections.abc import Callable

import pytest
from packaging.pylock import Pylock

from pyti import Report

pytestmark = [pytest.mark.machine, pytest.mark.index]

ReportOf = Callable[[str], Report]


def outcomes(report: Report) -> dict[str, str]:
    return {task.name: task.outcome for task in report.tasks}


def cause(report: Report, task: str) -> str | None:
    return next(each.cause for each in report.tasks if each.name == task)


def locked(report: Report) -> dict[str, str]:
    assert report.lock is not None
    lock = Pylock.from_dict(tomllib.loads(report.lock))
    lock.validate()
    return {str(package.name): str(package.version) for package in lock.packages}


def test_a_pure_wheel_with_dependencies_passes_and_is_locked_with_them(report_of: ReportOf) -> None:
    report = report_of("requests")

    assert outcomes(report)["install"] == outcomes(report)["import"] == "passed"
    assert report.exit_status == 0
    assert set(locked(report)) == {"requests", "certifi", "charset-normalizer", "idna", "urllib3"}


def test_an_sdist_only_project_with_a_setup_py_is_built_and_passes(report_of: ReportOf) -> None:
    report = report_of("docopt")

    assert report.distribution.kind == "sdist"
    assert outcomes(report)["build"] == outcomes(report)["import"] == "passed"
    assert report.exit_status == 0


def test_a_project_without_tests_says_so_instead_of_passing_them(report_of: ReportOf) -> None:
    assert outcomes(report_of("docopt"))["tests"] == "not_applicable"
    assert outcomes(report_of("six"))["tests"] == "not_applicable"


def test_a_c_extension_is_compiled_and_imported(report_of: ReportOf) -> None:
    report = report_of("markupsafe")

    assert outcomes(report)["build"] == outcomes(report)["import"] == "passed"
    assert report.quality.wheel is not None
    assert report.quality.wheel.extensions == 1


def test_optional_compiled_code_is_built_where_it_can_be(report_of: ReportOf) -> None:
    report = report_of("simplejson")

    assert outcomes(report)["build"] == outcomes(report)["import"] == "passed"
    assert report.quality.wheel is not None
    assert report.quality.wheel.extensions == 1


def test_requirements_that_only_the_build_backend_knows_are_resolved(report_of: ReportOf) -> None:
    report = report_of("dynamic")

    assert "idna" in locked(report)
    assert outcomes(report)["import"] == "passed"
    assert report.exit_status == 0


def test_a_build_that_fails_by_its_own_fault_blames_the_package(report_of: ReportOf) -> None:
    report = report_of("sklearn")

    assert outcomes(report)["build"] == "failed"
    assert cause(report, "build") == "package"
    assert report.exit_status == 1


def test_what_depends_on_a_failed_task_is_skipped_with_the_reason(report_of: ReportOf) -> None:
    install = next(task for task in report_of("sklearn").tasks if task.name == "install")

    assert install.outcome == "skipped"
    assert "build" in install.detail


def test_a_missing_system_library_blames_the_environment_and_is_named(report_of: ReportOf) -> None:
    report = report_of("psycopg2")
    build = next(task for task in report.tasks if task.name == "build")

    assert (build.outcome, build.cause) == ("failed", "environment")
    assert "pg_config" in build.detail
    assert report.exit_status == 1


def test_a_suite_in_the_sdist_is_run_and_counted(report_of: ReportOf) -> None:
    report = report_of("iniconfig")

    assert outcomes(report)["tests"] == "passed"
    assert report.quality.tests is not None
    assert report.quality.tests.passed >= 49
    assert report.quality.tests.failed == 0


def test_a_big_wheel_passes(report_of: ReportOf) -> None:
    report = report_of("numpy")

    assert outcomes(report)["install"] == outcomes(report)["import"] == "passed"
    assert report.distribution.size is not None
    assert report.distribution.size > 10_000_000


def test_a_local_file_is_tested_like_one_of_the_index(report_of: ReportOf) -> None:
    report = report_of("clean")

    assert outcomes(report)["import"] == "passed"
    assert report.exit_status == 0
    assert report.malice.level == "none_found"


def test_theft_of_credentials_and_a_call_out_at_import_are_called_malicious(report_of: ReportOf) -> None:
    report = report_of("thief")
    found = {finding.id for finding in report.findings}

    assert report.malice.level == "malicious"
    assert report.exit_status == 1
    assert any(each.startswith("NET-") for each in found)
    assert any(each.startswith("SECRET-") for each in found)
    assert any(each.startswith("PTH-") for each in found)


def test_ordinary_distributions_are_not_accused(report_of: ReportOf) -> None:
    for case in ("requests", "docopt", "markupsafe", "simplejson", "iniconfig", "numpy", "six", "clean", "dynamic"):
        assert report_of(case).malice.level == "none_found", case


def test_nothing_found_says_what_was_covered(report_of: ReportOf) -> None:
    coverage = report_of("six").malice.coverage

    assert {"install", "startup", "import"} <= {each.split("/")[0] for each in coverage.observed}
    assert coverage.events > 0
    assert not any(phase.truncated for phase in coverage.phases)


def test_every_task_of_the_full_profile_has_an_outcome_and_figures(report_of: ReportOf) -> None:
    report = report_of("six")

    assert set(outcomes(report)) == {
        "metadata", "build", "install", "startup", "import", "entry-points", "tests", "pylint", "pep8", "uninstall",
    }  # fmt: skip
    assert outcomes(report)["pylint"] == outcomes(report)["pep8"] == outcomes(report)["uninstall"] == "passed"
    assert report.quality.pylint is not None
    assert report.quality.pep8 is not None
    assert all(task.max_rss for task in report.tasks if task.name in ("install", "startup", "import", "pylint"))


def test_a_report_names_the_machine_and_where_the_time_went(report_of: ReportOf) -> None:
    report = report_of("requests")

    assert report.machine.template
    assert report.machine.accel in ("kvm", "tcg")
    timings = report.timings
    assert timings.total >= timings.run >= timings.tasks > 0
    assert timings.destroy > 0
