"""``tests``: the package's own test suite, against the installed package.

An sdist's tree is unpacked anew without the package's own folders, so that only the installed package can be imported;
tests that live inside a package but are not installed are added to the installed one. A wheel has what it installs.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from pyti.guest.archives import BadArchive, unpack_sdist
from pyti.guest.context import Context
from pyti.guest.installed import Installed, files_below, find
from pyti.guest.phase import Phase
from pyti.guest.requirements import specialise
from pyti.guest.tallies import Tally, add_up, missing_module
from pyti.guest.testsuite import Suite, find_suite, package_folders, test_files
from pyti.guest.verdict import Verdict, blame, last_line, of_failed

__all__ = ["run"]

NO_TESTS = 5
USAGE = 4
"""pytest's exit statuses."""
PATTERNS = ("test*.py", "*_test.py", "*_tests.py", "tests.py")


@dataclass
class _Setup:
    """What to run, and from where."""

    framework: str
    found_by: str
    cwd: Path
    paths: list[str]
    config: Path | None
    location: str


def run(context: Context) -> Verdict:
    """Find the suite, install its requirements, run it."""
    installed = find(context.layout.venv, context.metadata.name if context.metadata else context.job.name)
    if installed is None:
        return Verdict("error", "infrastructure", "the distribution is not installed any more")
    try:
        setup = _from_sdist(context, installed) if context.job.kind == "sdist" else _from_wheel(context, installed)
    except BadArchive as error:
        return Verdict("failed", "package", f"{context.job.filename} {error}")
    if setup is None:
        return Verdict("not_applicable", None, "the distribution ships no tests")
    short = _install_requirements(context)
    own = installed.top_level()
    done, tally = _pytest(context, setup, own) if setup.framework == "pytest" else _unittest(context, setup, own)
    verdict = _judge(done, tally, own)
    verdict.data = {
        "framework": setup.framework,
        "found_by": setup.found_by,
        "location": setup.location,
        "duration": done.wall_s,
        "requirements_missing": short,
        **tally.data(),
    }
    return verdict


def _from_sdist(context: Context, installed: Installed) -> _Setup | None:
    folder = context.folder("suite")
    tree = unpack_sdist(context.job.dist, folder)
    tops = installed.top_level()
    suite = find_suite(tree, tops)
    if suite is None:
        return None
    added = _add_inside(context, tree, suite, installed)
    for path in package_folders(tree, tops):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for path in tree.glob("*.egg-info"):
        shutil.rmtree(path)
    context.give_tree(folder)
    paths = [path for path in suite.paths if (tree / path).exists()] + added
    config = tree / suite.config if suite.config else None
    return _Setup(suite.framework, suite.found_by, tree, paths, config, "sdist")


def _add_inside(context: Context, tree: Path, suite: Suite, installed: Installed) -> list[str]:
    """Bring test folders that lie inside packages, but were not installed, into the installed packages."""
    starts = set()
    for name in suite.inside:
        source = tree / name
        base = next(base for base in package_folders(tree, installed.top_level()) if base in source.parents)
        target = installed.site / base.name / source.parent.relative_to(base)
        context.untouched(target)
        if not (target / source.name).exists() and (installed.site / base.name).is_dir():
            shutil.copytree(source.parent, target, dirs_exist_ok=True, symlinks=True)
            context.give_tree(target)
        if (target / source.name).exists():
            starts.add(str(target))
    return sorted(start for start in starts if not any(Path(other) in Path(start).parents for other in starts))


def _from_wheel(context: Context, installed: Installed) -> _Setup | None:
    found: set[str] = set()
    for top in installed.top_level():
        if (installed.site / top).is_dir():
            found.update(str((installed.site / top / name).parent) for name in test_files(installed.site / top))
    own = {str(path.parent) for path in installed.paths()}
    starts = sorted(found & own)
    if not starts:
        return None
    paths = [start for start in starts if not any(Path(other) in Path(start).parents for other in starts)]
    suite = find_suite(installed.site / installed.top_level()[0], ())
    framework, found_by = (suite.framework, suite.found_by) if suite else ("pytest", "names of installed files")
    return _Setup(framework, found_by, context.folder("suite"), paths, None, "installed")


def _install_requirements(context: Context) -> list[str]:
    """Best effort; returns what could not be installed."""
    metadata, job = context.metadata, context.job
    needed = list(job.test_requirements)
    if metadata and job.test_extras:
        needed += specialise(metadata.requires_dist, (*job.extras, *job.test_extras))
    if not needed:
        return []
    folder = context.folder("requirements")
    listing = folder / "requirements.txt"
    listing.write_text("\n".join(needed) + "\n", encoding="utf-8")
    before = files_below(context.layout.venv)
    argv = context.uv_install(context.layout.venv / "bin/python", "-r", str(listing))
    done = context.run("requirements", argv, cwd=folder, trace=False, share=0.5)
    context.before |= files_below(context.layout.venv) - before
    return [] if done.ok else needed[:100]


def _pytest(context: Context, setup: _Setup, own: list[str]) -> tuple[Phase, Tally]:
    options = ["-p", "no:cacheprovider", "-q", "--continue-on-collection-errors"]
    if setup.config:
        options += ["-c", str(setup.config)]
    done, tally = _run_pytest(context, setup, own, "suite", options)
    if done.exit_status == USAGE and b"unrecognized arguments" in done.stderr_tail + done.stdout_tail:
        # options in the package's configuration that belong to plugins which are not here
        options += ["-o", "addopts="]
        done, tally = _run_pytest(context, setup, own, "suite-plain", options)
    return done, tally


def _run_pytest(context: Context, setup: _Setup, own: list[str], phase: str, options: list[str]) -> tuple[Phase, Tally]:
    result = context.folder(f"{phase}-result") / "result.jsonl"
    argv = context.python("run_pytest.py", str(context.layout.tools_path), str(result), *options, *setup.paths)
    done = context.run(phase, argv, cwd=setup.cwd)
    return done, add_up(context.result(result), own)


def _unittest(context: Context, setup: _Setup, own: list[str]) -> tuple[Phase, Tally]:
    result = context.folder("suite-result") / "result.jsonl"
    start = setup.paths[0] if setup.paths and (setup.cwd / setup.paths[0]).is_dir() else "."
    top = start if not (setup.cwd / start / "__init__.py").is_file() else str((setup.cwd / start).parent)
    argv = context.python("run_unittest.py", str(result), start, top, *PATTERNS)
    done = context.run("suite", argv, cwd=setup.cwd)
    return done, add_up(context.result(result), own)


def _judge(done: Phase, tally: Tally, own: list[str]) -> Verdict:
    counts = tally.data()
    said = f"{counts['passed']} passed, {counts['failed']} failed, {counts['errors']} errors"
    if counts["skipped"]:
        said += f", {counts['skipped']} skipped"
    if done.limit in ("wall", "memory", "pids", "file"):
        verdict = of_failed(done, "the test suite")
        verdict.detail += f" ({said} until then)"
        return verdict
    if tally.bad:
        if tally.bad_by_missing == tally.bad:
            names = ", ".join(sorted(tally.missing)[:5])
            return Verdict("error", "environment", f"{said}; not in the wheelhouse: {names}")
        first = next(one for one in tally.failures if missing_module(one["why"], own) is None)
        cause = blame(first["why"].encode())
        return Verdict("failed", cause, f"{said}; {first['name']}: {first['why']}")
    if done.ok:
        return Verdict("passed", None, said)
    if done.exit_status == NO_TESTS or (done.exit_status == 1 and not tally.collected and not done.stderr_tail):
        return Verdict("not_applicable", None, "no tests were collected")
    output = done.stderr_tail + b"\n" + done.stdout_tail
    if absent := missing_module(output.decode("utf-8", "replace"), own):
        tally.missing.add(absent)
        return Verdict("error", "environment", f"the test suite needs {absent}, which is not in the wheelhouse")
    if done.exit_status == USAGE:
        return Verdict("error", "package", f"pytest refused to start: {last_line(output)}")
    return of_failed(done, "the test suite")
