"""The documentation holds: its links lead somewhere, its commands exist, its examples of settings are valid."""

from __future__ import annotations

import configparser
import io
import re
import shlex
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

from pyti.cli.main import app
from pyti.config import Settings, load
from pyti.guest.canary import CANARIES

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
DEPLOY = ROOT / "deploy"
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^(?:    |\$ )(?:[A-Z_]+=\S+ )*(?:\S*/)?pyti (?P<arguments>[^#\n]*)", re.MULTILINE)
INLINE = re.compile(r"`(?:[A-Z_]+=\S+ )?pyti (?P<arguments>[^`]+)`")
SHELL_FENCE = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the common renderers of Markdown make them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """Every ``pyti …`` that a page shows, as words; placeholders and redirections are left out."""
    text = page.read_text(encoding="utf-8")
    found = [match["arguments"] for match in [*COMMAND.finditer(FENCE.sub("", text)), *INLINE.finditer(text)]]
    for block in SHELL_FENCE.findall(text):
        found += re.findall(r"^pyti ([^#\n]*)", block, re.MULTILINE)
    return [shlex.split(re.split(r"\s(?:[|>]|\|\|)\s", line.replace("`", ""))[0]) for line in found if "…" not in line]


@cache
def help_of(*names: str) -> str:
    """What ``pyti NAMES --help`` prints; fails for a command that does not exist."""
    printed = io.StringIO()
    console = Console(file=printed, width=200, color_system=None)
    app([*names, "--help"], console=console, exit_on_error=False, print_error=False)
    return printed.getvalue()


@cache
def subcommands(*names: str) -> frozenset[str]:
    """The commands below ``pyti NAMES``, read from its help."""
    text = help_of(*names).partition("Commands")[2]
    return frozenset(re.findall(r"^│ ([a-z]+) ", text, re.MULTILINE))


def test_there_are_pages_and_commands_to_check():
    assert len(PAGES) > 15
    assert sum(len(commands(page)) for page in PAGES) > 40


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)} links to {target}, which has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_shown_exists_with_its_options(page):
    for words in commands(page):
        names: list[str] = []
        while len(names) < len(words) and subcommands(*names) & set(re.split(r"[|]", words[len(names)])):
            alternatives = words[len(names)].split("|")
            assert set(alternatives) <= subcommands(*names), f"{name_of(page)}: pyti {' '.join(words)}"
            names.append(alternatives[0])
        in_group = bool(names and subcommands(*names))
        assert not in_group or len(words) == len(names), f"{name_of(page)}: pyti {' '.join(words)}"
        assert names or words[0] in {"--help", "--version", "COMMAND"}, f"{name_of(page)}: pyti {' '.join(words)}"
        offered = set(re.findall(r"--[a-z][a-z-]*", help_of(*names)))
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in offered | {"--help"}, f"{name_of(page)}: pyti {' '.join(words)}"


def test_the_index_of_decisions_lists_every_record_once():
    listed = LINK.findall((DECISIONS / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    numbers = [name[:4] for name in listed]
    assert len(set(numbers)) == len(numbers)


def test_every_page_can_be_found_from_the_overview():
    overview = ROOT / "docs" / "README.md"
    linked = {(overview.parent / target).resolve() for target in LINK.findall(overview.read_text(encoding="utf-8"))}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page.parent != DECISIONS}
    assert pages - {overview} <= linked


def test_the_example_of_settings_is_valid_and_names_defaults():
    settings = load(DEPLOY / "pyti.toml.example", {})
    assert settings.bus.url.startswith("amqp://")
    assert settings.home == Settings().home
    assert settings.master == Settings().master
    assert settings.slave == Settings().slave


@pytest.mark.parametrize("role", ["master", "slave"])
def test_a_unit_runs_its_role_and_gives_it_time_to_end(role):
    unit = configparser.RawConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / f"pyti-{role}.service", encoding="utf-8")
    service = unit["Service"]
    program, command, option, _ = shlex.split(service["ExecStart"])
    assert Path(program).name == "pyti"
    assert command == role
    assert option in help_of(role)
    assert int(service["TimeoutStopSec"]) > (Settings().slave.grace_s + 90 if role == "slave" else 0)
    assert service["NoNewPrivileges"] == "yes"
    assert (service["User"] == "root") == (role == "slave")


def test_the_package_that_misbehaves_in_the_docs_reads_a_canary():
    text = (ROOT / "docs" / "how-to" / "test-local-file.md").read_text(encoding="utf-8")
    folder, name = re.search(r'Path\.home\(\) / "([^"]+)" / "([^"]+)"', text).groups()
    assert f"{folder}/{name}" in CANARIES


def test_the_picture_is_well_formed_and_loads_nothing():
    text = (ROOT / "docs" / "flow.svg").read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|<image|href=|url\((?!#)", text)
