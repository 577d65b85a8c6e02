"""The command line's entry: the tree of commands, and what errors look like to a person and to a shell."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.markup import escape

from pyti._version import __version__
from pyti.cli import doctor, image, jobs, report, schemas, services, test
from pyti.cli.logs import configure_logs
from pyti.errors import ExitStatus, PytiError
from pyti.reports import neutral_text

__all__ = ["app", "main"]

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
app.command(test.run_test, name="test")
app.command(image.app, name="image")
app.command(doctor.doctor)
app.command(services.master)
app.command(services.slave)
app.command(jobs.submit)
app.command(jobs.jobs)
app.command(jobs.show)
app.command(jobs.cancel)
app.command(jobs.slaves)
app.command(report.report)
app.command(schemas.app, name="schemas")
app.register_install_completion_command()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with the documented exit status."""
    configure_logs()
    errors = Console(stderr=True, highlight=False)
    try:
        status = app(None if arguments is None else list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        errors.print(f"[bold red]pyti:[/] {escape(neutral_text(str(error)))}")
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
    console.print(f"[bold red]pyti:[/] {escape(neutral_text(error.message))}")
    if error.remedy:
        console.print(f"[bold]Remedy:[/] {escape(neutral_text(error.remedy))}")
