from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.guest.installed import Installed, files_below, find, modules_of, site_packages


def environment(folder: Path, record: str, **files: str) -> Path:
    site = folder / "lib/python3.11/site-packages"
    info = site / "Good_Name-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text(record)
    for name, text in files.items():
        path = site / name.replace("__in__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def installed(folder: Path, *rows: tuple[str, str, str]) -> Installed:
    return Installed(folder, folder / "x.dist-info", rows)


def test_a_distribution_is_found_by_any_spelling_of_its_name(tmp_path: Path):
    venv = environment(tmp_path, '"a,b.py",sha256=x,3\nalone\n\n')
    for name in ("good-name", "Good.Name", "good_name"):
        found = find(venv, name)
        assert found is not None
        assert found.files == (("a,b.py", "sha256=x", "3"), ("alone", "", ""))
    assert find(venv, "good") is None
    assert find(tmp_path / "nowhere", "good") is None
    assert site_packages(venv) == tmp_path / "lib/python3.11/site-packages"


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "missing"])
def test_a_record_that_is_no_file_counts_as_empty(tmp_path: Path, kind: str):
    path = site_packages(environment(tmp_path, "")) / "Good_Name-1.0.dist-info/RECORD"
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "folder":
        path.mkdir()
    found = find(tmp_path, "good-name")
    assert found is not None
    assert found.files == ()


def test_what_differs_from_the_record_is_told(tmp_path: Path):
    empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    (tmp_path / "good.py").write_text("")
    (tmp_path / "long.py").write_text("x")
    (tmp_path / "other.py").write_text("x")
    os.mkfifo(tmp_path / "pipe.py")
    rows = [("good.py", empty, "0"), ("long.py", empty, "0"), ("other.py", empty, "1"), ("gone.py", empty, "0")]
    rows += [("/dev/zero", empty, ""), ("pipe.py", empty, ""), ("nul\0.py", empty, "0"), ("good.py", empty, "²")]
    assert installed(tmp_path, *rows).verify() == [
        "long.py",
        "other.py",
        "gone.py",
        "/dev/zero",
        "pipe.py",
        "nul\0.py",
    ]


def test_sizes_that_make_no_sense_do_not_count(tmp_path: Path):
    rows = (("a", "", "3"), ("b", "", "9" * 5000), ("c", "", "²"), ("d", "", "-4"), ("e", "", ""))
    assert installed(tmp_path, *rows).size() == 3


def test_types_are_told_by_their_marker(tmp_path: Path):
    assert installed(tmp_path, ("pkg/py.typed", "", "0")).typed()
    assert not installed(tmp_path, ("py.typed", "", "0"), ("pkg/x.py", "", "")).typed()


def test_top_level_names_are_those_that_can_be_imported(tmp_path: Path):
    names = ["pkg/__init__.py", "one.py", "fast.cpython-311-x86_64-linux-gnu.so", "data/x.txt", "../../bin/x"]
    names += ["x-1.dist-info/METADATA", "not-a-name/x.py", "__pycache__/one.cpython-311.pyc", "space/deep/a.py"]
    found = installed(tmp_path, *((name, "", "") for name in names)).top_level()
    assert found == ["fast", "one", "pkg", "space"]


def test_modules_come_parents_first_and_without_tests():
    names = ["pkg/a.py", "pkg/__init__.py", "pkg/sub/b.abi3.so", "pkg/tests/test_a.py", "pkg/__main__.py", "x-y.py"]
    assert modules_of([*names, "../bin/tool.py", "/abs.py", "pkg/conftest.py", "pkg/data.txt"]) == [
        "pkg",
        "pkg.a",
        "pkg.sub.b",
    ]


@given(st.lists(st.text(alphabet="ab_1./-\0ü", max_size=12).map(lambda name: name + ".py")))
def test_every_module_is_a_name_that_import_takes(names: list[str]):
    for module in modules_of(names):
        assert all(part.isidentifier() for part in module.split("."))


def test_files_below_leaves_bytecode_and_the_installers_lock_out(tmp_path: Path):
    for name in ("a/x.py", "a/__pycache__/x.pyc", ".lock", "b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert files_below(tmp_path) == {f"{tmp_path}/a/x.py", f"{tmp_path}/b"}
