"""A slave knows at any moment which machine is at which step for which job."""

import pytest

from pyti.messages import Distribution, DistributionKind, JobRun, Step
from pyti.roles.activity import ActivityBoard


def run(job: str = "job-1") -> JobRun:
    return JobRun(
        job=job,
        distribution=Distribution(name="a", version="1", filename="a-1.tar.gz", kind=DistributionKind.SDIST),
    )


def test_a_job_begins_as_accepted_and_moves_on_with_its_machine() -> None:
    now = iter([10.0, 20.0])
    board = ActivityBoard(clock=lambda: next(now))
    board.begin(run())

    board.move("job-1", Step.RUN, task="build", machine="m-1")

    assert board["job-1"].step == Step.RUN
    assert board["job-1"].task == "build"
    assert board["job-1"].machine == "m-1"
    assert board["job-1"].since == 20.0


def test_repeating_a_step_keeps_the_time_since_when_it_lasts() -> None:
    now = iter([10.0, 20.0, 30.0])
    board = ActivityBoard(clock=lambda: next(now))
    board.begin(run())
    board.move("job-1", Step.RUN, task="build")

    board.move("job-1", Step.RUN, task="build", machine="m-1")

    assert board["job-1"].since == 20.0


def test_a_machine_is_remembered_until_another_one_is_named() -> None:
    board = ActivityBoard()
    board.begin(run())
    board.move("job-1", Step.CLONE, machine="m-1")

    board.move("job-1", Step.RUN)

    assert board["job-1"].machine == "m-1"


def test_an_ended_job_has_no_row_and_ending_twice_is_no_error() -> None:
    board = ActivityBoard()
    board.begin(run("job-1"))
    board.begin(run("job-2"))
    board.end("job-1")
    board.end("job-1")

    assert "job-1" not in board
    assert [row.job for row in board.rows()] == ["job-2"]
    assert len(board) == 1


def test_moving_an_unknown_job_is_an_error() -> None:
    with pytest.raises(KeyError):
        ActivityBoard().move("job-9", Step.RUN)
