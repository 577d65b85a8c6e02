"""The bus's examples run as they stand, and say what their readers expect."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_worker_renders_what_is_urgent_first():
    ready = await load("bus_worker").main("inprocess:example-worker")
    assert set(ready[:2]) == {"logo", "sea"}
    assert sorted(ready) == ["fire", "logo", "sea", "sky"]


async def test_the_service_answers_and_its_absence_is_told():
    lines = await load("bus_request_reply").main("inprocess:example-requests")
    assert lines == ["nobody converts yet", "32 °F", "68 °F", "212 °F"]


async def test_the_watcher_sees_its_own_host_only():
    lines = await load("bus_event_watcher").main("inprocess:example-events")
    assert lines == [f"progress.a.j1: j1 {percent} %" for percent in (0, 50, 100)]


@pytest.mark.parametrize("name", ["bus_worker", "bus_request_reply", "bus_event_watcher"])
def test_each_example_is_a_program(name):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.strip()
