from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyti.rawdata.contract import TASKS, TaskFinished
from pyti.rawdata.records import RecordDecoder

from .conftest import Agent, frames, sdist, source, wheel

GOOD = {"good/__init__.py": "def answer():\n    return 42\n", "good/deep.py": "import good\n"}


def test_a_wheel_goes_through_every_task(agent: Agent, tmp_path: Path):
    ran = agent.job(
        wheel(tmp_path, "good", GOOD, entry_points="[console_scripts]\nx = good:answer\n"), tasks=list(TASKS)
    )
    outcomes = {one["task"]: one["outcome"] for one in ran.records if one["type"] == "task.finished"}
    assert outcomes == dict.fromkeys(TASKS, "passed") | {"build": "not_applicable", "tests": "not_applicable"}
    assert ran.task("import")["data"]["ok"] == 2
    assert ran.task("install")["data"]["record_ok"] is True
    assert ran.task("install")["data"]["scripts"] == ["x"]
    assert ran.task("pylint")["data"]["covered"] == {"files": 2, "of": 2, "complete": True}
    assert ran.task("uninstall")["data"]["left"] == []
    assert [one["seq"] for one in ran.records] == list(range(1, len(ran.records) + 1))


def test_the_records_are_those_of_the_contract(agent: Agent, tmp_path: Path):
    ran = agent.job(wheel(tmp_path, "good", GOOD), tasks=["import", "metadata"])
    decoder = RecordDecoder("job-0001", 1)
    records = list(decoder.feed((ran.outbox / "records.jsonl").read_bytes()))
    assert decoder.finished
    (imported,) = [one for one in records if isinstance(one, TaskFinished) and one.task == "import"]
    (phase,) = imported.phases
    assert phase.trace is not None
    assert phase.trace.size == (ran.outbox / phase.trace.path).stat().st_size
    assert phase.max_rss_bytes


def test_the_trace_shows_the_real_argv_after_the_launcher(agent: Agent, tmp_path: Path):
    ran = agent.job(wheel(tmp_path, "good", GOOD), tasks=["import"])
    argv = ran.task("import")["phases"][0]["argv"]
    executed = [line for line in ran.text("import/modules.strace").splitlines() if "execve(" in line and " = 0" in line]
    assert '"/bin/sh"' in executed[0]
    assert "setpriv" in executed[1]
    assert f'execve("{argv[0]}", ["{argv[0]}"' in executed[2]


def test_an_sdist_is_built_and_its_tests_run_against_what_was_installed(agent: Agent, tmp_path: Path):
    files = source(
        "good",
        {
            **{f"src/{name}": text for name, text in GOOD.items()},
            "tests/test_good.py": "import good\n\ndef test_installed():\n"
            "    assert 'site-packages' in good.__file__\n\n"
            "def test_wrong():\n    assert good.answer() == 41\n",
        },
    )
    ran = agent.job(sdist(tmp_path, "good", files), tasks=["metadata", "tests", "uninstall"])
    assert ran.task("metadata")["data"]["source"] == "hook"
    assert ran.task("build")["data"]["wheel"] == "good-1.0-py3-none-any.whl"
    tests = ran.task("tests")
    assert (tests["outcome"], tests["cause"]) == ("failed", "package"), tests["detail"]
    assert (tests["data"]["passed"], tests["data"]["failed"]) == (1, 1)
    assert tests["data"]["failures"][0]["name"].endswith("test_wrong")
    assert ran.task("uninstall")["outcome"] == "passed"


def test_unittest_suites_run_as_such(agent: Agent, tmp_path: Path):
    text = "import unittest\nimport good\n\nclass T(unittest.TestCase):\n    def test_a(self):\n        good.answer()\n"
    files = source("good", {**{f"src/{k}": v for k, v in GOOD.items()}, "tests/test_good.py": text})
    tests = agent.job(sdist(tmp_path, "good", files), tasks=["tests"]).task("tests")
    assert tests["outcome"] == "passed"
    assert (tests["data"]["framework"], tests["data"]["passed"]) == ("unittest", 1)


def test_a_test_requirement_that_is_not_there_is_the_environments_fault(agent: Agent, tmp_path: Path):
    files = source("good", {**{f"src/{k}": v for k, v in GOOD.items()}, "tests/test_good.py": "import mocking_bird\n"})
    tests = agent.job(sdist(tmp_path, "good", files), tasks=["tests"]).task("tests")
    assert (tests["outcome"], tests["cause"]) == ("error", "environment")
    assert tests["data"]["missing"] == ["mocking_bird"]


def test_a_build_that_fails_is_the_packages_fault_and_the_rest_is_skipped(agent: Agent, tmp_path: Path):
    files = source("bad", {}) | {"backend.py": "def build_wheel(*a, **k):\n    raise RuntimeError('no way')\n"}
    ran = agent.job(sdist(tmp_path, "bad", files), tasks=["import"])
    build = ran.task("build")
    assert (build["outcome"], build["cause"]) == ("failed", "package")
    assert "no way" in build["detail"]
    assert ran.task("import")["outcome"] == "skipped"
    assert ran.task("import")["detail"] == "needs install, which was skipped"


def test_a_header_that_is_missing_is_the_environments_fault(agent: Agent, tmp_path: Path):
    error = "x.c:1:10: fatal error: gadget.h: No such file or directory"
    backend = f"import sys\ndef build_wheel(*a, **k):\n    print({error!r}, file=sys.stderr)\n    sys.exit(1)\n"
    build = agent.job(sdist(tmp_path, "bad", source("bad", {}) | {"backend.py": backend}), tasks=["build"]).task(
        "build"
    )
    assert (build["outcome"], build["cause"]) == ("failed", "environment")


def test_missing_build_requirements_are_named_so_that_the_slave_can_come_again(agent: Agent, tmp_path: Path):
    files = source("bad", {}) | {"pyproject.toml": PYPROJECT_WITH_REQUIRES}
    metadata = agent.job(sdist(tmp_path, "bad", files), tasks=["metadata"]).task("metadata")
    assert (metadata["outcome"], metadata["cause"]) == ("error", "environment")
    assert metadata["data"] == {"missing_build_requires": ["flurb>=3"]}


PYPROJECT_WITH_REQUIRES = '[build-system]\nrequires = ["flurb>=3"]\nbuild-backend = "flurb"\n'


def test_dynamic_build_requirements_are_told(agent: Agent, tmp_path: Path):
    backend = "def get_requires_for_build_wheel(c=None):\n    return ['flurb>=3']\n"
    files = source("bad", {}) | {"backend.py": backend}
    metadata = agent.job(sdist(tmp_path, "bad", files), tasks=["metadata"]).task("metadata")
    assert metadata["data"] == {"missing_build_requires": ["flurb>=3"]}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(3)", "status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import nowhere", "No module named 'nowhere'"),
    ],
)
def test_a_module_that_ends_the_interpreter_is_named_and_the_rest_goes_on(
    agent: Agent, tmp_path: Path, code: str, said: str
):
    files = {"pk/__init__.py": "", "pk/a.py": code, "pk/b.py": ""}
    imported = agent.job(wheel(tmp_path, "pk", files), tasks=["import"]).task("import")
    modules = {one["name"]: one for one in imported["data"]["modules"]}
    assert imported["outcome"] == "passed"
    assert said in modules["pk.a"]["error"]
    assert modules["pk.b"]["ok"] is True


def test_a_package_that_cannot_be_imported_fails(agent: Agent, tmp_path: Path):
    imported = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": "1/0"}), tasks=["import"]).task("import")
    assert (imported["outcome"], imported["cause"]) == ("failed", "package")
    assert "ZeroDivisionError" in imported["detail"]


def test_time_is_limited_and_the_whole_tree_dies(agent: Agent, tmp_path: Path):
    code = "import subprocess, time\nsubprocess.Popen(['sleep', '987'])\ntime.sleep(987)\n"
    ran = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": code}), tasks=["import"], limits={"wall_s": 1.0})
    imported = ran.task("import")
    assert (imported["outcome"], imported["phases"][0]["limit"]) == ("timeout", "wall")
    assert not _running("sleep\x00987")


@pytest.mark.parametrize("trace", [True, False])
def test_processes_that_linger_are_killed_and_counted(agent: Agent, tmp_path: Path, *, trace: bool):
    code = "import subprocess\nsubprocess.Popen(['sleep', '986'], start_new_session=True)\n"
    ran = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": code}), tasks=["import"], trace=trace)
    imported = ran.task("import")
    assert imported["outcome"] == "passed"
    assert imported["phases"][0]["processes_killed"] == 1
    assert not _running("sleep\x00986")


def test_output_is_kept_up_to_its_bound_and_counted(agent: Agent, tmp_path: Path):
    code = "print('x' * 99999)"
    ran = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": code}), tasks=["import"], limits={"output_bytes": 1000})
    stdout = ran.task("import")["phases"][0]["stdout"]
    assert (stdout["size"], stdout["total"], stdout["truncated"]) == (1000, 100000, True)
    assert ran.task("import")["outcome"] == "passed"


def test_the_jobs_time_limit_stops_what_has_not_begun(agent: Agent, tmp_path: Path):
    code = "import time\ntime.sleep(987)\n"
    ran = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": code}), tasks=list(TASKS), time_limit_s=2.0)
    outcomes = [ran.task(name)["outcome"] for name in ("import", "entry-points", "tests", "uninstall")]
    assert outcomes == ["timeout", "timeout", "skipped", "skipped"]


def test_code_of_the_package_is_not_root_and_finds_canaries(agent: Agent, tmp_path: Path):
    code = "import os\nprint(os.getuid(), open(os.path.expanduser('~/.ssh/id_ed25519')).readline(), sorted(os.environ))"
    ran = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": code}), tasks=["import"])
    said = ran.text("import/modules.stdout")
    assert not said.startswith("0 ")
    assert "BEGIN OPENSSH PRIVATE KEY" in said
    assert ".ssh/id_ed25519" in ran.text("import/modules.strace")


def test_what_runs_at_every_start_shows(agent: Agent, tmp_path: Path):
    files = {"pk.py": "", "pk.pth": "import wave\n"}
    ran = agent.job(wheel(tmp_path, "pk", files), tasks=["startup"])
    assert "wave" in ran.task("startup")["data"]["modules_added"]
    assert ran.task("install")["data"]["pth"] == [{"name": "pk.pth", "own": True, "lines": ["import wave"]}]


def test_dependencies_come_from_the_wheelhouse(agent: Agent, tmp_path: Path):
    dist = wheel(tmp_path, "pk", {"pk.py": "import good"}, metadata="Requires-Dist: good\n")
    ran = agent.job(dist, tasks=["import"], wheelhouse=(wheel(tmp_path, "good", GOOD),))
    assert ran.task("import")["outcome"] == "passed"
    assert [one["phase"] for one in ran.task("install")["phases"]] == ["dependencies", "dist", "check"]
    without = agent.job(wheel(tmp_path, "qk", {"qk.py": ""}, metadata="Requires-Dist: nowhere\n"), tasks=["install"])
    assert without.task("install")["outcome"] == "failed"


def test_a_follower_that_comes_again_gets_the_rest(agent: Agent, tmp_path: Path):
    agent.job(wheel(tmp_path, "good", GOOD), tasks=["metadata"])
    everything = [
        content for header, content in frames(agent.root, {"job": "job-0001"}) if header["path"] == "records.jsonl"
    ]
    (text,) = everything
    rest = [
        (header["offset"], content)
        for header, content in frames(agent.root, {"job": "job-0001", "offsets": {"records.jsonl": 7}})
        if header["path"] == "records.jsonl"
    ]
    assert rest == [(7, text[7:])]


def test_a_malformed_job_ends_at_once_and_the_next_one_runs(agent: Agent, tmp_path: Path):
    folder = agent.root / "var/lib/pyti/inbox/job-bad1"
    folder.mkdir()
    (folder / "job.json").write_text("{")
    told = b"".join(content for _, content in frames(agent.root, {"job": "job-bad1"}))
    assert [json.loads(line)["type"] for line in told.splitlines()] == ["job.started", "job.finished"]
    assert agent.job(wheel(tmp_path, "good", GOOD), tasks=["metadata"]).task("metadata")["outcome"] == "passed"


def test_a_clone_gets_its_own_names(agent: Agent, control: Any):
    request = {"op": "wake", "seed": "00" * 32, "hostname": "guest-7", "machine_id": "ab" * 16, "at": 1.0}
    assert control(agent.root, json.dumps(request).encode() + b"\n") == {"ok": True}
    assert (agent.root / "etc/hostname").read_text() == "guest-7\n"
    for wrong in ({"seed": "00"}, {"hostname": "a b"}, {"machine_id": "x"}, {"op": "dance"}):
        assert control(agent.root, json.dumps(request | wrong).encode() + b"\n")["ok"] is False


def _running(command: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command in path.read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False


def test_a_link_in_the_place_of_the_working_folder_is_not_followed(agent: Agent, tmp_path: Path):
    lure = agent.root / "lure"
    lure.mkdir()
    code = f"import os\nwork = {str(agent.root)!r} + '/home/tester/work'\nos.rename(work, work + '.old')\n"
    code += f"os.symlink({str(lure)!r}, work)\n"
    dist = wheel(tmp_path, "pk", {"pk/__init__.py": code}, entry_points="[g]\nx = pk\n")
    loaded = agent.job(dist, tasks=["import", "entry-points"]).task("entry-points")
    assert (loaded["outcome"], loaded["cause"]) == ("failed", "package")
    assert "put a link in the place of" in loaded["detail"]
    assert list(lure.iterdir()) == []


def test_tests_are_not_written_through_a_link_of_the_package(agent: Agent, tmp_path: Path):
    lure = agent.root / "lure"
    lure.mkdir()
    files = {"src/pk/__init__.py": f"import os\nos.symlink({str(lure)!r}, os.path.dirname(__file__) + '/extra')\n"}
    files["src/pk/extra/test_x.txt"] = ""
    files["src/pk/extra/test_x.py"] = "import pk\n\ndef test_x():\n    pass\n"
    skip = {"backend.py": source("pk", {})["backend.py"].replace('if file.endswith(".py")', 'if file == "__init__.py"')}
    ran = agent.job(sdist(tmp_path, "pk", source("pk", files) | skip), tasks=["import", "tests"])
    assert ran.task("import")["outcome"] == "passed"
    assert (ran.task("tests")["outcome"], ran.task("tests")["cause"]) == ("failed", "package")
    assert list(lure.iterdir()) == []


def test_a_package_that_ships_types_is_typed(agent: Agent, tmp_path: Path):
    typed = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": "", "pk/py.typed": ""}), tasks=["install"])
    assert typed.task("install")["data"]["typed"] is True
    plain = agent.job(wheel(tmp_path, "qk", {"qk/__init__.py": ""}), tasks=["install"])
    assert plain.task("install")["data"]["typed"] is False


def test_a_change_of_folder_shows_in_the_trace(agent: Agent, tmp_path: Path):
    ran = agent.job(wheel(tmp_path, "pk", {"pk/__init__.py": "import os\nos.chdir('/etc')\n"}), tasks=["import"])
    assert 'chdir("/etc")' in ran.text("import/modules.strace")
