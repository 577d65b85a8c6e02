from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyti.guest import testsuite
from pyti.guest.testsuite import find_suite, package_folders

PYTEST = "import pytest\n"
UNITTEST = "import unittest\n"


def plant(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_test_files_are_known_by_name(tmp_path: Path):
    names = ["test_a.py", "a_test.py", "tests.py", "lib/AllTest.py", "contest.py", "latest.py", "test.txt"]
    names += ["build/test_b.py", "docs/test_c.py", "x.egg-info/test_d.py", ".git/test_e.py"]
    plant(tmp_path, dict.fromkeys(names, ""))
    assert testsuite.test_files(tmp_path) == ["a_test.py", "lib/AllTest.py", "test_a.py", "tests.py"]


@pytest.mark.parametrize(
    ("files", "framework", "found_by"),
    [
        ({"tests/test_a.py": UNITTEST, "pytest.ini": ""}, "pytest", "configuration in pytest.ini"),
        (
            {"tests/test_a.py": UNITTEST, "pyproject.toml": "[tool.pytest.ini_options]\n"},
            "pytest",
            "configuration in pyproject.toml",
        ),
        ({"tests/test_a.py": "", "setup.cfg": "[tool:pytest]\n"}, "pytest", "configuration in setup.cfg"),
        ({"tests/test_a.py": UNITTEST, "tests/conftest.py": ""}, "pytest", "tests/conftest.py"),
        ({"tests/test_a.py": UNITTEST, "tests/test_b.py": PYTEST}, "pytest", "imported by tests/test_b.py"),
        ({"tests/test_a.py": UNITTEST, "tox.ini": "deps = pytest"}, "pytest", "named in tox.ini"),
        ({"tests/test_a.py": UNITTEST}, "unittest", "imported by tests/test_a.py"),
        ({"tests/test_a.py": "def test(): pass"}, "pytest", "the name of tests/test_a.py"),
        ({"tests/test_a.py": "def test(): pass", "tox.ini": "no ini"}, "pytest", "the name of tests/test_a.py"),
        ({"tests/test_a.py": UNITTEST, "pyproject.toml": "tool = 7"}, "unittest", "imported by tests/test_a.py"),
        ({"tests/test_a.py": UNITTEST, "pyproject.toml": "="}, "unittest", "imported by tests/test_a.py"),
    ],
)
def test_the_framework_is_found_by_evidence(tmp_path: Path, files: dict[str, str], framework: str, found_by: str):
    suite = find_suite(plant(tmp_path, files), ["good"])
    assert suite is not None
    assert (suite.framework, suite.found_by) == (framework, found_by)


def test_suites_start_at_their_outermost_folder_or_file(tmp_path: Path):
    plant(tmp_path, dict.fromkeys(["tests/unit/test_a.py", "tests/test_b.py", "test_c.py", "x/tests/test_d.py"], ""))
    suite = find_suite(tmp_path, [])
    assert suite is not None
    assert suite.paths == ("test_c.py", "tests", "x/tests")


def test_tests_inside_the_package_are_kept_apart(tmp_path: Path):
    plant(tmp_path, dict.fromkeys(["src/good/tests/test_a.py", "src/good/x.py", "tests/test_b.py", "one.py"], ""))
    suite = find_suite(tmp_path, ["good", "one"])
    assert suite is not None
    assert suite.inside == ("src/good/tests/test_a.py",)
    assert suite.paths == ("tests",)
    assert package_folders(tmp_path, ["good", "one", "tests"]) == [tmp_path / "one.py", tmp_path / "src/good"]


def test_a_tree_without_tests_has_no_suite(tmp_path: Path):
    assert find_suite(plant(tmp_path, {"good/x.py": "", "pytest.ini": ""}), ["good"]) is None


def test_what_is_no_file_is_not_read(tmp_path: Path):
    plant(tmp_path, {"tests/test_a.py": ""})
    os.mkfifo(tmp_path / "tox.ini")
    (tmp_path / "setup.cfg").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "tests/test_b.py")
    suite = find_suite(tmp_path, [])
    assert suite is not None
    assert suite.config is None
