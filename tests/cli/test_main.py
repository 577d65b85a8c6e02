"""The command's entry: help is quick and complete, errors name the thing and the remedy, and every end has a status."""

from __future__ import annotations

import inspect
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pyti import __version__
from pyti.cli import main as entry
from pyti.cli.main import COMMANDS
from pyti.config import Settings
from pyti.errors import StoreError, UsageError

Run = Callable[..., Any]

HEAVY = ("aio_pika", "aiohttp", "asyncssh", "jinja2", "libvirt", "packaging", "sqlalchemy", "pyti.roles")
NESTED = (("image", "build"), ("image", "list"), ("image", "verify"), ("schemas", "export"), ("schemas", "check"))


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS), *NESTED], ids=" ".join)
def test_every_command_has_help(pyti: Run, command: tuple[str, ...]) -> None:
    outcome = pyti(*command, "--help")

    assert outcome.status == 0
    assert outcome.err == ""
    assert " ".join(("Usage: pyti", *command)) in outcome.out
    assert "Exit status: 0" in outcome.out


def test_help_imports_no_room(pyti_process: Run) -> None:
    program = (
        "import atexit, sys\n"
        "from pyti.cli.main import main\n"
        f"atexit.register(lambda: print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules]))\n"
        "main(['--help'])\n"
    )

    outcome = pyti_process(command=("-c", program))

    assert outcome.status == 0
    assert all(name in outcome.out for name in COMMANDS)
    assert outcome.out.endswith("HEAVY []\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_what_the_command_itself_says(name: str) -> None:
    home, text = COMMANDS[name]
    module, _, attribute = home.partition(":")
    found = getattr(import_module(f"pyti.cli.{module}"), attribute)
    documented = found.help if not inspect.isfunction(found) else inspect.getdoc(found)

    assert " ".join(documented.partition("\n\nParameters\n")[0].split()) == " ".join(text.split())


def test_the_version_is_told(pyti: Run) -> None:
    outcome = pyti("--version")

    assert (outcome.status, outcome.out.strip()) == (0, __version__)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--nonsense"], "--nonsense"),
        (["tset"], "tset"),
        (["jobs", "--nonsense"], "--nonsense"),
        (["jobs", "--state", "flying"], "flying"),
        (["jobs", "--limit", "many"], "many"),
        (["test", "six", "--cpus", "several"], "several"),
        (["report", "job-good", "--format", "pdf"], "pdf"),
        (["show"], "--job"),
        (["image", "burn"], "burn"),
    ],
)
def test_what_cannot_be_parsed_is_named_and_help_is_offered(pyti: Run, arguments: list[str], named: str) -> None:
    outcome = pyti(*arguments)

    assert outcome.status == 2
    assert outcome.out == ""
    assert named in outcome.err
    assert "--help" in outcome.err


@pytest.mark.parametrize("command", [["jobs"], ["slaves"], ["image", "list"], ["doctor"], ["test", "six"]])
def test_settings_that_are_not_there_are_named(pyti: Run, command: list[str], tmp_path: Path) -> None:
    outcome = pyti(*command, "--config", str(tmp_path / "missing.toml"))

    assert outcome.status == 2
    assert "missing.toml" in outcome.said
    assert "Remedy: Check the path given to --config." in outcome.said


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[bus]\nurk = 1\n", "urk"),
        ("[slave]\nslots = 0\n", "slots"),
        ("[bus\n", "not valid TOML"),
        ("[machines]\naccel = 'xen'\n", "accel"),
    ],
)
def test_a_setting_that_is_wrong_is_named(pyti: Run, tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "pyti.toml"
    path.write_text(text)

    outcome = pyti("jobs", "--config", str(path))

    assert outcome.status == 2
    assert named in outcome.said
    assert "pyti.toml" in outcome.said
    assert "Remedy:" in outcome.said


def test_a_setting_of_the_environment_that_is_wrong_is_named(pyti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTI_BUS__URK", "1")

    outcome = pyti("jobs")

    assert outcome.status == 2
    assert "urk" in outcome.said


def test_the_configuration_may_come_from_the_environment(
    pyti: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTI_CONFIG", str(tmp_path / "missing.toml"))

    assert "missing.toml" in pyti("jobs").said


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the next command raise."""

    def arrange(error: BaseException) -> None:
        def command(*_arguments: object, **_options: object) -> None:
            raise error

        monkeypatch.setattr(entry, "app", command)

    return arrange


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("it is wrong", remedy="do it right"), 2),
        (StoreError("it is wrong", remedy="do it right"), 3),
        (ExceptionGroup("g", [ExceptionGroup("h", [StoreError("it is wrong", remedy="do it right")])]), 3),
    ],
    ids=["usage", "infrastructure", "in groups"],
)
def test_an_error_is_shown_with_its_remedy(
    pyti: Run, failing: Callable[[BaseException], None], error: BaseException, status: int
) -> None:
    failing(error)

    outcome = pyti("jobs")

    assert outcome.status == status
    assert outcome.err == "pyti: it is wrong\nRemedy: do it right\n"


def test_a_stranger_s_words_in_an_error_are_harmless(
    pyti: Run, failing: Callable[[BaseException], None], hostile: str
) -> None:
    failing(StoreError(f"no {hostile}", remedy=hostile))

    outcome = pyti("jobs")

    assert outcome.status == 3
    assert "[/nope][red]" in outcome.err
    assert not {"\x1b", "\x07", "\u202e"} & set(outcome.err)


def test_an_interruption_has_its_own_status(pyti: Run, failing: Callable[[BaseException], None]) -> None:
    failing(KeyboardInterrupt())

    outcome = pyti("jobs")

    assert outcome.status == 130
    assert "interrupted" in outcome.err


@pytest.mark.parametrize("error", [ZeroDivisionError(), ExceptionGroup("g", [StoreError("s"), ZeroDivisionError()])])
def test_a_defect_is_not_hidden(failing: Callable[[BaseException], None], error: BaseException) -> None:
    failing(error)

    with pytest.raises(type(error)):
        entry.main(["jobs"])


@pytest.mark.parametrize("arguments", [["jobs"], ["jobs", "--json"], ["report", "job-good", "--format", "html"]])
def test_a_reader_that_has_gone_is_no_matter(filled: Settings, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pyti", *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )
    finally:
        os.close(writing)

    assert done.stderr == ""
    assert done.returncode in (0, 1)


def on_terminal(*arguments: str, **environment: str) -> str:
    """What the command shows on a terminal of its own."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyti", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # EIO: the last process on the terminal has ended
    finally:
        os.close(ours)
        process.wait(timeout=60)
    return shown.decode()


def coloured(text: str) -> bool:
    """Whether there is a colour in it; bold and dim are none."""
    return any(f"\x1b[{prefix}{code}" in text for code in range(30, 38) for prefix in ("", "1;", "0;"))


def test_colours_are_for_terminals_that_want_them(filled: Settings, pyti_process: Run) -> None:
    assert coloured(on_terminal("report", "job-bad"))
    assert not coloured(on_terminal("report", "job-bad", NO_COLOR="1"))
    assert "\x1b" not in pyti_process("report", "job-bad").out
    assert "\x1b" not in pyti_process("jobs").out
    assert coloured(on_terminal("show"))
    assert not coloured(on_terminal("show", NO_COLOR="1"))
    assert "\x1b" not in pyti_process("show").err
