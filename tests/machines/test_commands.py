import asyncio
import os
from pathlib import Path

import pytest

from pyti.errors import HypervisorUnavailable, MachineError, OutOfSpace, TimeLimitExceeded
from pyti.machines.commands import run


async def test_output_of_both_streams_is_returned_and_announced():
    lines = []
    assert await run(["sh", "-c", "echo a; echo b >&2"], limit_s=10, each_line=lines.append) == "a\nb"
    assert lines == ["a", "b"]


async def test_a_failure_carries_the_programs_last_words():
    with pytest.raises(MachineError, match=r"status 3\nno such luck"):
        await run(["sh", "-c", "echo no such luck; exit 3"], limit_s=10)


async def test_a_missing_program_comes_with_the_package_to_install():
    with pytest.raises(HypervisorUnavailable) as caught:
        await run(["pyti-no-such-program"], limit_s=10)
    assert caught.value.remedy == "apt-get install pyti-no-such-program"


async def test_a_full_disk_is_told_apart_from_other_failures():
    with pytest.raises(OutOfSpace):
        await run(["sh", "-c", "echo 'write: No space left on device'; exit 1"], limit_s=10)


async def test_text_on_standard_input_arrives():
    assert await run(["cat"], limit_s=10, stdin=b"hello") == "hello"


async def test_the_whole_process_group_ends_at_the_limit(tmp_path):
    with pytest.raises(TimeLimitExceeded):
        await run(["sh", "-c", f"sleep 60 & echo $! >{tmp_path}/pid; wait"], limit_s=0.3)
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_cancelled_caller_leaves_no_process(tmp_path):
    task = asyncio.create_task(run(["sh", "-c", f"sleep 60 & echo $! >{tmp_path}/pid; wait"], limit_s=60))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int((tmp_path / "pid").read_text()))


async def gone(process):
    """Wait until a process has ended (it may stay a zombie until pid 1 buries it)."""
    async with asyncio.timeout(10):
        while True:
            try:
                os.kill(process, 0)
                if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except (ProcessLookupError, FileNotFoundError):
                return
            await asyncio.sleep(0.01)
