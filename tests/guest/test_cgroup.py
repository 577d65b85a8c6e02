"""Parsing and preparing, on a folder that looks like cgroup v2; what the kernel makes of it is tested in a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyti.guest.cgroup import Cgroup, enable
from pyti.guest.job import Limits


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    (tmp_path / "cgroup.controllers").write_text("cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("memory pids\n")
    (tmp_path / "pyti").mkdir()
    (tmp_path / "pyti/cgroup.subtree_control").write_text("cpu memory pids\n")
    return tmp_path / "pyti"


def test_what_is_not_enabled_yet_is_enabled(base: Path):
    assert enable(base)
    assert (base.parent / "cgroup.subtree_control").read_text() == "+cpu"
    assert (base / "cgroup.subtree_control").read_text() == "cpu memory pids\n"


@pytest.mark.parametrize("controllers", ["cpu io memory", "cpu pids", ""])
def test_without_the_controllers_there_is_no_group(base: Path, controllers: str):
    (base.parent / "cgroup.controllers").write_text(controllers)
    assert not enable(base)
    assert Cgroup.create(base, "import-1", Limits()) is None


def test_a_user_gets_no_group(base: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert Cgroup.create(base, "import-1", Limits()) is None


def test_where_there_is_no_cgroup_v2_there_is_no_group(tmp_path: Path):
    assert Cgroup.create(tmp_path / "nowhere/pyti", "import-1", Limits()) is None


def test_limits_are_written(base: Path):
    group = Cgroup.create(base, "import-1", Limits(memory_bytes=1000, pids=7))
    assert group is not None
    assert (group.path / "memory.max").read_text() == "1000"
    assert (group.path / "memory.swap.max").read_text() == "0"
    assert (group.path / "memory.oom.group").read_text() == "1"
    assert (group.path / "pids.max").read_text() == "7"
    group.kill()
    assert (group.path / "cgroup.kill").read_text() == "1"


def test_usage_is_read(tmp_path: Path):
    (tmp_path / "cpu.stat").write_text("usage_usec 30\nuser_usec 1500000\nsystem_usec 500000\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    (tmp_path / "pids.events").write_text("max 3\n")
    (tmp_path / "cgroup.procs").write_text("1\n22\n")
    group = Cgroup(tmp_path)
    usage = group.usage()
    assert (usage.user_s, usage.system_s, usage.peak_bytes) == (1.5, 0.5, 4096)
    assert usage.out_of_memory
    assert usage.out_of_pids
    assert group.count() == 2


def test_what_a_kernel_does_not_tell_is_unknown(tmp_path: Path):
    usage = Cgroup(tmp_path).usage()
    assert usage.peak_bytes is None
    assert not usage.out_of_memory
    assert not usage.out_of_pids
