"""``metadata``: name, version and requirements, read where they are static, else asked of the build backend."""

from __future__ import annotations

from pathlib import Path

from pyti.guest.archives import BadArchive, read_wheel
from pyti.guest.buildenv import BuildEnvironment, BuildFailed, build_environment, pyproject_of, source_tree
from pyti.guest.context import Context
from pyti.guest.metadata import Metadata, normalize, parse_metadata, static_requirements
from pyti.guest.verdict import Verdict

__all__ = ["run"]

MAX_METADATA = 4 * 1024 * 1024


def run(context: Context) -> Verdict:
    """Read the metadata; a job of this task alone always asks the backend for its build requirements, too."""
    try:
        return _wheel(context) if context.job.kind == "wheel" else _sdist(context)
    except BuildFailed as failure:
        return failure.verdict
    except (BadArchive, ValueError) as error:
        return Verdict("failed", "package", f"{context.job.filename}: {error}")


def _wheel(context: Context) -> Verdict:
    content = read_wheel(context.job.dist, "METADATA")
    return _verdict(context, content, parse_metadata(content), "wheel", {})


def _sdist(context: Context) -> Verdict:
    tree = source_tree(context)
    content = _read(tree / "PKG-INFO")
    static = None
    if content:
        static = static_requirements(parse_metadata(content), pyproject_of(tree))
    extra: dict[str, object] = {}
    if static is None or context.job.tasks == ("metadata",):
        build = build_environment(context)
        build.make(context)
        extra["build_requires"] = list(build.more_requires or ())
    if static is None:
        content = _prepare(context, build_environment(context))
        source, requires = "hook", parse_metadata(content).requires_dist
    else:
        source, requires = static
    extra["requires_dist"] = list(requires)
    return _verdict(context, content, parse_metadata(content), source, extra)


def _prepare(context: Context, build: BuildEnvironment) -> bytes:
    folder = context.folder("output")
    name = build.hook(context, "prepare", "prepare_metadata_for_build_wheel", str(folder))
    if name is not None:
        content = _read(folder / Path(str(name)).name / "METADATA")
    else:
        wheel = build.hook(context, "wheel", "build_wheel", str(folder))
        build.wheel = folder / Path(str(wheel)).name
        content = read_wheel(build.wheel, "METADATA")
    if not content:
        raise ValueError("the build backend wrote no METADATA")
    return content


def _verdict(context: Context, content: bytes, metadata: Metadata, source: str, extra: dict[str, object]) -> Verdict:
    context.metadata = metadata
    data = metadata.data() | {"source": source} | extra
    artefact = context.outbox.artefact("metadata", "METADATA", content)
    job = context.job
    if normalize(metadata.name) != normalize(job.name):
        detail = f"the metadata is that of {metadata.name!r}, not of {job.name!r}"
        return Verdict("failed", "package", detail, data, [artefact])
    return Verdict("passed", None, f"{metadata.name} {metadata.version}", data, [artefact])


def _read(path: Path) -> bytes:
    if not path.is_file() or path.is_symlink():
        return b""
    with path.open("rb") as file:
        return file.read(MAX_METADATA)
