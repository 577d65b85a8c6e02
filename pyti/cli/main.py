"""The command line's entry: the tree of commands, and what errors look like to a person and to a shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.markup import escape

from pyti._version import __version__
from pyti.cli.logs import configure_logs
from pyti.errors import ExitStatus, PytiError

__all__ = ["COMMANDS", "app", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "test": (
        "test:run_test",
        "Test distributions of the package index, or local files, in fresh virtual machines, and print the reports.",
    ),
    "image": ("image:app", "Build, list and verify the images that machines are cloned from."),
    "doctor": (
        "doctor:doctor",
        "Check everything that a job needs on this host: KVM by booting, libvirt, image, disk, index, store and bus.",
    ),
    "master": (
        "services:master",
        "Run a master until SIGTERM: it hears of releases, dispatches jobs and evaluates what comes back.",
    ),
    "slave": (
        "services:slave",
        (
            "Run a slave until SIGTERM: it takes jobs, runs them in fresh machines and hands back raw data.\n\n"
            "The first SIGTERM or SIGINT drains: no more jobs are taken, and those that run may finish within the "
            "grace time. A second one ends at once; jobs are handed back."
        ),
    ),
    "submit": ("jobs:submit", "Hand requirements or files to a master, and with --wait print their reports."),
    "jobs": ("jobs:jobs", "List jobs, newest first."),
    "show": ("jobs:show", "Show how one job stands."),
    "cancel": ("jobs:cancel", "Cancel a job that waits or runs; its machine is destroyed."),
    "slaves": (
        "jobs:slaves",
        "List slaves: what they can run, and which machine is at which step for which job.",
    ),
    "report": (
        "report:report",
        "Print the report of a job that has ended; leaves with the report's own exit status.",
    ),
    "schemas": (
        "schemas:app",
        "Export the schemas of messages and reports, or check them for incompatible changes.",
    ),
}
"""Each command's home below ``pyti.cli`` and what its help says, as its docstring does. A home is imported when its
command is used: together they cost more than a second, most of it for libvirt's, SSH's and SQL's libraries."""

app = App(
    name="pyti",
    help="Test Python distributions in fresh, isolated virtual machines, before anyone installs them.",
    help_epilogue=(
        "Exit status: 0 all passed and nothing found; 1 something failed or was found; 2 usage, or no such "
        "distribution; 3 infrastructure failed or inconclusive; 130 interrupted."
    ),
    version=__version__,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for _name, (_home, _text) in COMMANDS.items():
    app.command(f"pyti.cli.{_home}", name=_name, help=_text)
app.register_install_completion_command()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with the documented exit status."""
    configure_logs()
    errors = Console(stderr=True, highlight=False)
    try:
        status = app(None if arguments is None else list(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except CycloptsError as error:
        errors.print(f"[bold red]pyti:[/] {_shown(str(error))}")
        errors.print("See [bold]pyti --help[/], or [bold]pyti COMMAND --help[/].")
        status = ExitStatus.USAGE
    except PytiError as error:
        show_error(errors, error)
        status = error.exit_status
    except KeyboardInterrupt:
        errors.print("pyti: interrupted; machines were destroyed and nothing was left running.")
        status = ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone; nothing more can be said, not even when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = ExitStatus.PASSED
    except BaseExceptionGroup as group:
        known = group.subgroup(PytiError)
        if known is None or group.split(PytiError)[1] is not None:
            raise
        first: BaseException = known
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        assert isinstance(first, PytiError)  # noqa: S101 - subgroup() kept nothing else; for the type checker
        show_error(errors, first)
        status = first.exit_status
    sys.exit(status if isinstance(status, int) else 0)


def show_error(console: Console, error: PytiError) -> None:
    """Print what went wrong and what can be done about it."""
    console.print(f"[bold red]pyti:[/] {_shown(error.message)}")
    if error.remedy:
        console.print(f"[bold]Remedy:[/] {_shown(error.remedy)}")


def _shown(text: str) -> str:
    """Text that a stranger may have written, harmless for a console."""
    from pyti.reports import neutral_text  # late: it costs a quarter of a second

    return escape(neutral_text(text))
