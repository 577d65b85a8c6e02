"""Several real processes share one database file and one blob folder, from the first moment on."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from pyti.store import Blobs, Store

PROGRAM = """
import asyncio, json, sys
from pyti.messages import Distribution, JobRun, JobState
from pyti.store import Blobs, Store, Upload

async def main(home, who):
    print("ready", flush=True)
    sys.stdin.readline()
    won, expected = [], []
    async with Store.open(f"sqlite+aiosqlite:///{home}/pyti.sqlite") as store, Blobs.open(f"{home}/blobs") as blobs:
        for n in range(12):
            shared = f"six-{n}.tar.gz"
            d = Distribution(name="six", version="1", filename=shared, kind="sdist")
            added = await store.add_jobs(
                [JobRun(job=f"feed-{who}-{n}", distribution=d)],
                feed="watch",
                uploads=[Upload(project="six", filename=shared)],
            )
            own = JobRun(job=f"own-{who}-{n}", distribution=d)
            await store.add_jobs([own])
            await store.accepted(own.job, 1, who, 1e12)
            report = await blobs.put_bytes(b"the same report" * n)
            assert await store.finish(own.job, 1, JobState.DONE, report=report)
            race = JobRun(job=f"race-{n}", distribution=d)
            await store.add_jobs([race])
            if await store.finish(race.job, 1, JobState.DONE, detail=who, report=report):
                won.append(race.job)
            expected += [run.job for run in added]
    print(json.dumps({"won": won, "added": expected}))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_processes_share_a_store_and_blobs(tmp_path: Path) -> None:
    async def start(who: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            PROGRAM,
            str(tmp_path),
            who,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    processes = [await start(who) for who in ("ada", "bob", "eve")]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [(process.returncode, error) for process, (_, error) in zip(processes, ended, strict=True)] == [(0, b"")] * 3
    said = [json.loads(output) for output, _ in ended]
    assert sorted(job for each in said for job in each["won"]) == sorted(f"race-{n}" for n in range(12))
    assert len([job for each in said for job in each["added"]]) == 12
    async with (
        Store.open(f"sqlite+aiosqlite:///{tmp_path}/pyti.sqlite") as store,
        Blobs.open(str(tmp_path / "blobs")) as blobs,
    ):
        rows = await store.jobs(1000)
        assert len(rows) == 12 + 3 * 12 + 12
        assert await store.seen("watch", "six") == {f"six-{n}.tar.gz" for n in range(12)}
        for n in range(12):
            report = await store.report_reference(f"race-{n}")
            assert report is not None
            assert await blobs.get_bytes(report, limit=1000) == b"the same report" * n
