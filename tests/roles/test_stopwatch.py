"""The parts of a job are timed by one clock."""

import pytest

from pyti.roles.stopwatch import Stopwatch


def test_parts_add_up_and_total_runs_from_construction() -> None:
    now = iter([100.0, 101.0, 103.0, 110.0, 110.5, 120.0])
    watch = Stopwatch(clock=lambda: next(now))
    with watch.part("clone"):
        pass
    with watch.part("clone"):
        pass
    watch.add("tasks", 4.0)

    timings = watch.timings()

    assert timings.clone == 2.5
    assert timings.tasks == 4.0
    assert timings.total == 20.0


def test_a_part_that_fails_is_counted_all_the_same() -> None:
    now = iter([0.0, 1.0, 4.0, 5.0])
    watch = Stopwatch(clock=lambda: next(now))

    with pytest.raises(ValueError), watch.part("resolve"):  # noqa: PT011 - any error will do
        raise ValueError

    assert watch.timings().resolve == 3.0


def test_an_unknown_part_is_refused_when_the_timings_are_read() -> None:
    watch = Stopwatch()
    watch.add("coffee", 1.0)

    with pytest.raises(TypeError):
        watch.timings()
