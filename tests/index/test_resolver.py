import asyncio
import json
import os
import subprocess
import sys
import textwrap
import tomllib
from collections import Counter

import pytest
from packaging.pylock import Pylock

from pyti.errors import HashMismatch, MalformedArchive, ResolutionImpossible, TooLarge
from pyti.index import PreparedMetadata, local_distribution, resolve, select_distributions
from pyti.messages import FileChoice


@pytest.fixture
def run(index, connect, target):
    """Select, download and resolve; ``prepare`` answers from ``facts`` and records what it was given."""

    async def go(requirement, choice=FileChoice.AUTO, facts=None, test_extras=False, build_requires=(), **changes):
        asked = []

        async def prepare(dist, path, wheelhouse):
            asked.append((dist.filename, sorted(file.name for file in wheelhouse)))
            assert path.exists()
            return (facts or {})[dist.filename](asked[-1][1])

        async with connect(**changes) as (client, downloads):
            (root,) = await select_distributions(client, requirement, choice, target)
            path = await downloads.fetch(root.url, root.sha256, root.size, root.filename)
            resolution = await resolve(
                root, path, target=target, client=client, downloads=downloads, prepare=prepare,
                settings=client.settings, test_extras=test_extras, build_requires=build_requires,
            )  # fmt: skip
        return resolution, asked

    return go


@pytest.fixture
def tools(index):
    """The build tools that every legacy sdist wants."""
    index.wheel("setuptools", "80.0")
    index.wheel("wheel", "0.45")


def roles(resolution):
    return {f"{file.name} {file.version}": file.role for file in resolution.files}


async def test_dependencies_are_locked_by_hash(index, run):
    index.wheel("demo", "1.0", requires=["a>=1", "b; sys_platform == 'win32'", "c; python_version >= '3.11'"])
    index.wheel("a", "1.0")
    index.wheel("a", "2.0", requires=["c<2"])
    index.wheel("c", "1.0")
    index.wheel("c", "2.0")
    resolution, asked = await run("demo")
    assert roles(resolution) == {"demo 1.0": "root", "a 2.0": "runtime", "c 1.0": "runtime"}
    assert not asked
    lock = Pylock.from_dict(tomllib.loads(resolution.lock))
    assert {package.name: str(package.version) for package in lock.packages} == {"demo": "1.0", "a": "2.0", "c": "1.0"}
    hashes = {package.name: package.wheels[0].hashes["sha256"] for package in lock.packages}
    assert hashes == {file.name: file.sha256 for file in resolution.files}
    assert all(file.path.read_bytes() == index.bodies[file.filename] for file in resolution.files)
    assert "b" not in index.seen


async def test_extras_of_root_and_dependencies_are_followed(index, run):
    index.wheel("demo", "1.0", requires=["a[fast]", "b; extra == 'more'"], extras=["more"])
    index.wheel("a", "1.0", requires=["c; extra == 'fast'", "d; extra == 'slow'"], extras=["fast", "slow"])
    for name in "bcd":
        index.wheel(name, "1.0")
    resolution, _ = await run("demo[more,none]")
    assert set(roles(resolution)) == {"demo 1.0", "a 1.0", "b 1.0", "c 1.0"}
    assert any("no extra named none" in note for note in resolution.notes)


async def test_it_goes_back_to_an_older_release_when_it_must(index, run):
    index.wheel("demo", "1.0", requires=["a", "b"])
    index.wheel("a", "1.0", requires=["c<2"])
    index.wheel("a", "2.0", requires=["c>=2"])
    index.wheel("b", "1.0", requires=["c==1.0"])
    index.wheel("c", "1.0")
    index.wheel("c", "2.0")
    assert set(roles((await run("demo"))[0])) == {"demo 1.0", "a 1.0", "b 1.0", "c 1.0"}


async def test_circles_are_no_trouble(index, run):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("a", "1.0", requires=["demo"])
    assert set(roles((await run("demo"))[0])) == {"demo 1.0", "a 1.0"}


async def test_an_impossible_set_is_explained(index, run):
    index.wheel("demo", "1.0", requires=["a<2", "b"])
    index.wheel("a", "1.0")
    index.wheel("a", "2.0")
    index.wheel("b", "1.0", requires=["a>=2"])
    with pytest.raises(ResolutionImpossible) as caught:
        await run("demo")
    assert "demo 1.0 requires a<2" in caught.value.message
    assert "b 1.0 requires a>=2" in caught.value.message


@pytest.mark.parametrize(
    ("said", "tag", "why"),
    [
        ({"requires-python": ">=3.12"}, "py3-none-any", "it needs Python >=3.12"),
        ({"yanked": True}, "py3-none-any", "it is yanked"),
        ({}, "cp311-cp311-win_amd64", "it has no wheel for this target and no sdist"),
    ],
)
async def test_each_rejected_version_has_its_reason(index, run, said, tag, why):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("a", "1.0", tag=tag, said=said)
    with pytest.raises(ResolutionImpossible) as caught:
        await run("demo")
    assert f"a: 1.0: {why}" in caught.value.message


async def test_missing_projects_and_urls_are_explained(index, run):
    index.wheel("demo", "1.0", requires=["missing"])
    with pytest.raises(ResolutionImpossible, match="missing: the index has no such project"):
        await run("demo")
    index.wheel("demo", "2.0", requires=["a @ https://files.test/a-1.0-py3-none-any.whl"])
    index.wheel("a", "1.0")
    with pytest.raises(ResolutionImpossible, match="URLs are not followed"):
        await run("demo==2.0")


async def test_a_root_for_another_python_is_refused(index, run):
    index.wheel("demo", "1.0", requires_python=">=3.12")
    with pytest.raises(ResolutionImpossible, match=r"the image has 3\.11\.2"):
        await run("demo")


async def test_core_metadata_spares_downloads(index, run, metadata_bytes):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("demo", "1.0.1", requires=["a<2"])
    for version in ("1.0", "2.0"):
        text = metadata_bytes("a", version, requires_python=">=3.12" if version == "2.0" else None)
        index.wheel("a", version, said={"metadata": text})
    resolution, _ = await run("demo")
    assert "a 1.0" in roles(resolution)
    assert not index.seen["a-2.0-py3-none-any.whl"]


async def test_useless_candidates_are_passed_over_and_noted(index, run, metadata_bytes):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("a", "1.0")
    index.wheel("a", "2.0", metadata=metadata_bytes("other", "2.0"))
    index.add("a-3.0-py3-none-any.whl", b"no archive")
    index.wheel("a", "4.0", requires=["not a requirement ("])
    resolution, _ = await run("demo")
    assert "a 1.0" in roles(resolution)
    assert len(resolution.notes) == 3


async def test_a_wrong_hash_is_no_reason_to_take_another_version(index, run):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("a", "1.0")
    entry = index.wheel("a", "2.0")
    entry["hashes"] = {"sha256": "0" * 64}
    with pytest.raises(HashMismatch):
        await run("demo")


async def test_the_jobs_files_are_bounded_together(index, run):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("a", "1.0")
    with pytest.raises(TooLarge, match="together"):
        await run("demo", max_job_bytes=100)


async def test_a_static_sdist_brings_its_build_requirements(index, run, tools):
    index.sdist("demo", "1.0", requires=["a"], files={"setup.py": "raise SystemExit('never run')"})
    index.wheel("a", "1.0")
    resolution, asked = await run("demo")
    assert not asked
    assert roles(resolution) == {
        "demo 1.0": "root",
        "a 1.0": "runtime",
        "setuptools 80.0": "build",
        "wheel 0.45": "build",
    }
    assert {file["name"] for file in tomllib.loads(resolution.lock)["tool"]["pyti"]["build"]} == {"setuptools", "wheel"}


async def test_a_dynamic_sdist_is_prepared_in_a_guest_until_nothing_is_missing(index, run, tools, metadata_bytes):
    index.sdist("demo", "1.0", metadata_version="1.1")
    index.wheel("cython", "3.0")
    index.wheel("a", "1.0")

    def answer(wheelhouse):
        if "cython-3.0-py3-none-any.whl" not in wheelhouse:
            return PreparedMetadata(b"", missing=["cython"])
        return PreparedMetadata(metadata_bytes("demo", "1.0", requires=["a"]), build_requires=["wheel"])

    resolution, asked = await run("demo", facts={"demo-1.0.tar.gz": answer})
    assert len(asked) == 2
    assert roles(resolution)["cython 3.0"] == "build"
    assert roles(resolution)["a 1.0"] == "runtime"
    assert resolution.stats.prepared == 2


@pytest.mark.parametrize("asked_for", [["a", "b"], ["no requirement ("]])
async def test_a_guest_that_never_has_enough_is_given_up(index, run, tools, asked_for):
    index.sdist("demo", "1.0", metadata_version="1.1")
    index.wheel("a", "1.0")
    index.wheel("b", "1.0")
    calls = Counter()

    def answer(wheelhouse):
        calls["demo"] += 1
        return PreparedMetadata(b"", missing=asked_for)

    with pytest.raises(ResolutionImpossible):
        await run("demo", facts={"demo-1.0.tar.gz": answer})
    assert calls["demo"] <= 4


async def test_lying_prepared_metadata_is_refused(index, run, tools, metadata_bytes):
    index.sdist("demo", "1.0", metadata_version="1.1")
    with pytest.raises(MalformedArchive, match="other"):
        await run("demo", facts={"demo-1.0.tar.gz": lambda _: PreparedMetadata(metadata_bytes("other", "1.0"))})


async def test_a_dependency_that_is_an_sdist_is_prepared_and_its_tools_come_along(index, run, tools, metadata_bytes):
    index.wheel("demo", "1.0", requires=["old"])
    index.sdist("old", "1.0", metadata_version="1.0", pyproject="[build-system]\nrequires=['maker']\n")
    index.wheel("maker", "1.0", requires=["setuptools"])
    facts = {"old-1.0.tar.gz": lambda _: PreparedMetadata(metadata_bytes("old", "1.0"))}
    resolution, asked = await run("demo", facts=facts)
    assert asked[0][1] == [
        "maker-1.0-py3-none-any.whl",
        "setuptools-80.0-py3-none-any.whl",
        "wheel-0.45-py3-none-any.whl",
    ]
    assert roles(resolution)["old 1.0"] == "runtime"
    assert roles(resolution)["maker 1.0"] == "build"


async def test_an_sdist_that_needs_itself_to_be_built_is_explained(index, run):
    index.wheel("demo", "1.0", requires=["egg"])
    index.sdist("egg", "1.0", pyproject="[build-system]\nrequires=['egg']\nbuild-backend='flit_core.buildapi'\n")
    with pytest.raises(ResolutionImpossible, match="needed to build itself"):
        await run("demo")


async def test_what_a_build_was_found_to_miss_can_be_added(index, run, tools):
    index.sdist("demo", "1.0")
    index.wheel("cython", "3.0")
    assert "cython 3.0" in roles((await run("demo", build_requires=["cython"]))[0])


async def test_test_requirements_are_added_without_changing_the_base(index, run, tools):
    index.sdist(
        "demo", "1.0", requires=["a", "pytest; extra == 'test'"], extras=["test"],
        pyproject="[dependency-groups]\ntests = ['hypothesis']\n"
        "[build-system]\nrequires=[]\nbuild-backend='flit_core.buildapi'\n",
    )  # fmt: skip
    for name in ("a", "pytest", "hypothesis"):
        index.wheel(name, "1.0")
    resolution, _ = await run("demo", test_extras=True)
    assert (resolution.test_extras, resolution.test_requirements) == (("test",), ("hypothesis",))
    assert roles(resolution) == {"demo 1.0": "root", "a 1.0": "runtime", "pytest 1.0": "test", "hypothesis 1.0": "test"}
    assert "test" not in roles((await run("demo", test_extras=False))[0]).values()


async def test_test_requirements_that_conflict_are_left_out_with_a_note(index, run):
    index.wheel("demo", "1.0", requires=["a", "b; extra == 'test'"], extras=["test"])
    index.wheel("a", "1.0")
    index.wheel("a", "2.0")
    index.wheel("b", "1.0", requires=["a<2"])
    resolution, _ = await run("demo", test_extras=True)
    assert set(roles(resolution)) == {"demo 1.0", "a 2.0"}
    assert resolution.test_extras == ()
    assert "left out" in resolution.notes[0]


async def test_the_loop_stays_free_and_a_cancelled_resolution_ends(index, run):
    index.wheel("demo", "1.0", requires=["a"])
    index.fault("a", "hang")
    task = asyncio.create_task(run("demo"))
    await asyncio.wait_for(index.hanging.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)


NOTHING_RUNS = textwrap.dedent("""
    import asyncio, importlib.util, pathlib, sys
    from pyti.config import IndexSettings
    from pyti.index import Downloads, IndexClient, PreparedMetadata, Target, resolve, select_distributions
    from pyti.messages import FileChoice
    import json
    url, cache, requirement, manifest = sys.argv[1:]
    FORBIDDEN = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty"}
    broken = []
    def hook(event, args):
        if event in FORBIDDEN:
            broken.append((event, repr(args)[:200]))
        if event in {"exec", "compile", "import", "marshal.load", "marshal.loads"}:
            name = getattr(args[0], "co_filename", None) or (args[1] if event == "compile" else "")
            if str(cache) in str(name) or "setup.py" in str(name):
                broken.append((event, str(name)))
    async def prepare(dist, path, wheelhouse):
        return PreparedMetadata(f"Metadata-Version: 2.1\\nName: {dist.name}\\nVersion: {dist.version}\\n".encode())
    async def main():
        target = Target.from_manifest(json.loads(manifest))
        settings = IndexSettings(url=url or None)
        async with IndexClient(settings, cache=pathlib.Path(cache)) as client:
            downloads = Downloads(client, pathlib.Path(cache), settings)
            (root,) = await select_distributions(client, requirement, FileChoice.SDIST, target)
            path = await downloads.fetch(root.url, root.sha256, root.size, root.filename)
            resolution = await resolve(root, path, target=target, client=client, downloads=downloads, prepare=prepare,
                                       settings=settings, test_extras=True)
            print(len(resolution.files), resolution.stats.prepared)
    sys.addaudithook(hook)
    asyncio.run(main())
    print(broken)
    sys.exit(bool(broken))
""")


def resolve_watched(url, cache, requirement, manifest):
    return subprocess.run(
        [sys.executable, "-c", NOTHING_RUNS, url, str(cache), requirement, json.dumps(manifest)],
        capture_output=True, text=True, timeout=90, check=False, env=dict(os.environ),
    )  # fmt: skip


async def test_nothing_of_a_package_ever_runs_on_the_host(index, tools, manifest, tmp_path):
    canary = tmp_path / "canary"
    evil = f"open({str(canary)!r}, 'w').write('ran')\n"
    index.sdist("demo", "1.0", metadata_version="1.1", files={"setup.py": evil, "conftest.py": evil, "demo.py": evil})
    done = await asyncio.to_thread(resolve_watched, index.url, tmp_path / "cache", "demo", manifest)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == ["3 1", "[]"]
    assert not canary.exists()


@pytest.mark.index
def test_nothing_of_docopt_runs_on_the_host(manifest, tmp_path):
    done = resolve_watched("", tmp_path / "cache", "docopt==0.6.2", manifest)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_watch_would_see_a_subprocess(tmp_path, manifest):
    program = NOTHING_RUNS.replace("asyncio.run(main())", "import subprocess; subprocess.run(['true'])")
    done = subprocess.run(
        [sys.executable, "-c", program, "", str(tmp_path), "x", "{}"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1


async def test_a_local_file_is_resolved_and_locked_by_its_name(index, connect, target, tmp_path, wheel_bytes):
    index.wheel("a", "1.0")
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(wheel_bytes("demo", "1.0", requires=["a"]))

    async def prepare(dist, path, wheelhouse):
        raise AssertionError("a wheel is never prepared")

    async with connect() as (client, downloads):
        resolution = await resolve(
            local_distribution(path), path, target=target, client=client, downloads=downloads, prepare=prepare,
            settings=client.settings,
        )  # fmt: skip
    assert roles(resolution) == {"demo 1.0": "root", "a 1.0": "runtime"}
    packages = {package.name: package for package in Pylock.from_dict(tomllib.loads(resolution.lock)).packages}
    assert packages["demo"].wheels[0].path == path.name
    assert packages["a"].wheels[0].url.startswith(index.url.replace("/simple/", "/files/"))


async def test_endless_backtracking_is_bounded(index, run):
    index.wheel("demo", "1.0", requires=[f"p{number}" for number in range(5)])
    for number in range(5):
        index.wheel(f"p{number}", "1.0")
    with pytest.raises(ResolutionImpossible, match="within 2 steps"):
        await run("demo", max_candidates=2)


async def test_prereleases_of_dependencies_follow_the_setting(index, run):
    index.wheel("demo", "1.0", requires=["a"])
    index.wheel("a", "1.0")
    index.wheel("a", "2.0rc1")
    assert "a 1.0" in roles((await run("demo"))[0])
    assert "a 2.0rc1" in roles((await run("demo", prereleases=True))[0])
