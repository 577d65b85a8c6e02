"""The isolated environment in which an sdist's build backend runs, made from the wheelhouse once per job."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .archives import BadArchive, unpack_sdist
from .context import Context
from .metadata import parse_pyproject
from .requirements import missing
from .verdict import Verdict, last_line, of_failed

__all__ = ["BuildEnvironment", "BuildFailed", "build_environment", "pyproject_of", "source_tree"]

LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
LEGACY_REQUIRES = ("setuptools >= 40.8.0",)
"""What PEP 517 prescribes for a tree without ``[build-system]``."""
MAX_PYPROJECT = 4 * 1024 * 1024


class BuildFailed(Exception):
    """The build cannot go on; ``verdict`` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.detail)
        self.verdict = verdict


@dataclass
class BuildEnvironment:
    """A virtual environment with the build requirements, and what the backend has said so far."""

    tree: Path
    venv: Path
    backend: str
    backend_path: tuple[str, ...]
    requires: tuple[str, ...]
    """``[build-system] requires``."""
    more_requires: tuple[str, ...] | None = None
    """What ``get_requires_for_build_wheel`` returned, once asked."""
    wheel: Path | None = None
    """The wheel, once built."""
    _made: bool = field(default=False, repr=False)
    _made_more: bool = field(default=False, repr=False)

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.venv / "bin/python"

    def make(self, context: Context) -> None:
        """Create it and install what the tree and the backend ask for; ``BuildFailed`` when that is impossible."""
        if not self._made:
            self._need(context, self.requires)
            done = context.run(
                "environment",
                context.uv("venv", "--offline", "--python", str(context.layout.python), str(self.venv)),
                trace=False,
            )
            if not done.ok:
                raise BuildFailed(_environment(of_failed(done, "making the build environment")))
            self._install(context, "requirements", self.requires)
            self._made = True
        if self.more_requires is None:
            value = self.hook(context, "requires", "get_requires_for_build_wheel")
            more = value if isinstance(value, list) else []
            self.more_requires = tuple(str(requirement)[:500] for requirement in more[:500])
        if not self._made_more:
            self._need(context, self.more_requires)
            self._install(context, "more-requirements", self.more_requires)
            self._made_more = True

    def hook(self, context: Context, phase: str, hook: str, *arguments: str) -> Any:
        """Call a backend's hook in its own process; its value, or ``None`` when the backend has no such hook."""
        folder = context.folder(phase)
        request, result = folder / "request.json", folder / "result.json"
        request.write_text(
            json.dumps({"backend": self.backend, "backend_path": self.backend_path, "arguments": arguments})
        )
        argv = context.python("hooks.py", hook, str(request), str(result), python=self.python)
        done = context.run(phase, argv, cwd=self.tree, venv=self.venv)
        if not done.ok:
            raise BuildFailed(of_failed(done, hook))
        try:
            answer = json.loads(context.result(result))
            return answer.get("value")
        except (ValueError, AttributeError, RecursionError):
            detail = f"{hook} ended without an answer: {last_line(done.stderr_tail)}"
            raise BuildFailed(Verdict("failed", "package", detail)) from None

    def _need(self, context: Context, requirements: tuple[str, ...]) -> None:
        absent = missing(requirements, [path.name for path in _wheelhouse(context)])
        if absent:
            detail = f"build requirements are not in the wheelhouse: {', '.join(absent)}"
            raise BuildFailed(Verdict("error", "environment", detail, {"missing_build_requires": absent}))

    def _install(self, context: Context, phase: str, requirements: tuple[str, ...]) -> None:
        if not requirements:
            return
        builds = any(not path.name.endswith(".whl") for path in _wheelhouse(context))
        done = context.run(phase, context.uv_install(self.python, *requirements), venv=self.venv, trace=builds)
        if not done.ok:
            verdict = _environment(of_failed(done, "installing the build requirements"))
            verdict.data = {"missing_build_requires": list(requirements)}
            raise BuildFailed(verdict)


def source_tree(context: Context) -> Path:
    """Return the sdist's tree, unpacked once and owned by the unprivileged user; ``BuildFailed`` when malformed."""
    if context.source is None:
        target = context.folder("source")
        try:
            context.source = unpack_sdist(context.job.dist, target)
        except BadArchive as error:
            raise BuildFailed(Verdict("failed", "package", f"{context.job.filename} {error}")) from error
        context.give_tree(target)
    return context.source


def build_environment(context: Context) -> BuildEnvironment:
    """Return the build environment, not made yet; ``BuildFailed`` when ``pyproject.toml`` is malformed."""
    if context.build is None:
        tree = source_tree(context)
        try:
            context.build = _read(tree, pyproject_of(tree), context.folder("venv") / "env")
        except (ValueError, TypeError) as error:
            raise BuildFailed(Verdict("failed", "package", f"pyproject.toml is malformed: {error}")) from error
    return context.build


def pyproject_of(tree: Path) -> dict[str, Any]:
    """Return the tree's ``pyproject.toml``, empty where there is none; ``ValueError`` when malformed."""
    path = tree / "pyproject.toml"
    if not path.is_file() or path.is_symlink():
        return {}
    with path.open("rb") as file:
        return parse_pyproject(file.read(MAX_PYPROJECT))


def _read(tree: Path, pyproject: dict[str, Any], venv: Path) -> BuildEnvironment:
    system = pyproject.get("build-system")
    if system is None:
        return BuildEnvironment(tree, venv, LEGACY_BACKEND, (), LEGACY_REQUIRES)
    if not isinstance(system, dict) or not isinstance(system.get("requires"), list):
        raise ValueError("[build-system] needs a list named requires")
    return BuildEnvironment(
        tree=tree,
        venv=venv,
        backend=str(system.get("build-backend", LEGACY_BACKEND)),
        backend_path=tuple(str(path) for path in system.get("backend-path", [])),
        requires=tuple(str(requirement) for requirement in system["requires"]),
    )


def _wheelhouse(context: Context) -> list[Path]:
    folder = context.job.wheelhouse
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _environment(verdict: Verdict) -> Verdict:
    """Not the package's doing: the task could not be carried out."""
    if verdict.outcome == "failed":
        verdict.outcome, verdict.cause = "error", "environment"
    return verdict
