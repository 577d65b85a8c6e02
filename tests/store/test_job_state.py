"""The job's state machine, against slaves that are slow, die, repeat themselves and talk out of order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pyti.messages import JobState
from pyti.store import job_state
from pyti.store.job_state import ENDED, Standing

ATTEMPTS = st.integers(min_value=0, max_value=6)
SLAVES = st.sampled_from(["ada", "bob"])
LEASES = st.floats(min_value=0, max_value=60, allow_nan=False)


class OneJob(RuleBasedStateMachine):
    """Any events in any order, each compared with what the law allows."""

    def __init__(self) -> None:
        super().__init__()
        self.job = Standing()
        self.now = 1000.0
        self.results = 0
        self.history = [self.job]

    def take(self, after: Standing | None) -> bool:
        if after is None:
            return False
        self.job = after
        self.history.append(after)
        return True

    @rule(seconds=LEASES)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(attempt=ATTEMPTS)
    def the_bus_confirms(self, attempt: int) -> None:
        was_waiting = job_state.awaits_dispatch(self.job) and attempt == self.job.attempt
        assert self.take(job_state.dispatch(self.job, attempt)) == was_waiting
        assert not (was_waiting and job_state.awaits_dispatch(self.job))

    @rule(attempt=ATTEMPTS, slave=SLAVES, lease=LEASES)
    def a_slave_speaks(self, attempt: int, slave: str, lease: float) -> None:
        before = self.job
        taken = self.take(job_state.accept(before, attempt, slave, self.now + lease, self.now))
        if attempt != before.attempt or before.state in ENDED:
            assert not taken
        elif before.state is JobState.QUEUED or before.slave == slave:
            assert taken
        else:
            assert taken == job_state.lease_ran_out(before, self.now)
        if taken and before.state is JobState.RUNNING and before.slave == slave:
            assert before.lease_until is not None
            assert self.job.lease_until is not None
            assert self.job.lease_until >= before.lease_until

    @rule(attempt=ATTEMPTS)
    def the_master_reissues(self, attempt: int) -> None:
        before = self.job
        taken = self.take(job_state.reissue(before, attempt))
        assert taken == (attempt == before.attempt and before.state not in ENDED and not before.cancelling)
        if taken:
            assert self.job.attempt == attempt + 1
            assert job_state.awaits_dispatch(self.job)

    @rule(attempt=ATTEMPTS, state=st.sampled_from(sorted(ENDED)))
    def a_result_arrives(self, attempt: int, state: JobState) -> None:
        before = self.job
        taken = self.take(job_state.finish(before, attempt, state))
        assert taken == (attempt == before.attempt and before.state not in ENDED)
        self.results += taken

    @rule()
    def somebody_cancels(self) -> None:
        before = self.job
        if self.take(job_state.cancel(before)):
            assert before.state not in ENDED
            assert (self.job.state is JobState.CANCELLED) == (before.state is JobState.QUEUED)

    @invariant()
    def a_result_counts_at_most_once(self) -> None:
        assert self.results <= 1

    @invariant()
    def attempts_only_grow_and_ends_are_final(self) -> None:
        for before, after in zip(self.history, self.history[1:], strict=False):
            assert after.attempt >= before.attempt
            assert before.state not in ENDED

    @invariant()
    def a_live_job_can_always_come_to_an_end(self) -> None:
        if self.job.state not in ENDED:
            assert job_state.finish(self.job, self.job.attempt, JobState.FAILED) is not None

    @invariant()
    def nothing_is_lost(self) -> None:
        """A job that has not ended waits for the bus, is on the bus, or has a lease that can run out."""
        job = self.job
        waits = job_state.awaits_dispatch(job)
        on_the_bus = job.state is JobState.QUEUED and job.dispatched == job.attempt
        leased = job.state is JobState.RUNNING and job.lease_until is not None and job.slave != ""
        assert [waits, on_the_bus, leased, job.state in ENDED].count(True) == 1


TestOneJob = OneJob.TestCase
TestOneJob.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_a_job_does_not_end_as_running() -> None:
    with pytest.raises(ValueError, match="does not end as running"):
        job_state.finish(Standing(), 1, JobState.RUNNING)  # type: ignore[arg-type]


def test_progress_that_overtakes_its_acceptance_accepts_the_job() -> None:
    running = job_state.accept(Standing(dispatched=0), 1, "ada", 1030.0, 1000.0)
    assert running is not None
    assert running.state is JobState.RUNNING
    assert not job_state.awaits_dispatch(running)


def test_a_redelivery_to_another_slave_is_refused_while_the_first_holds_its_lease() -> None:
    running = job_state.accept(Standing(), 1, "ada", 1030.0, 1000.0)
    assert running is not None
    assert job_state.accept(running, 1, "bob", 1040.0, 1029.9) is None
    taken_over = job_state.accept(running, 1, "bob", 1040.0, 1030.0)
    assert taken_over is not None
    assert (taken_over.slave, taken_over.lease_until) == ("bob", 1040.0)


def test_a_running_job_that_is_to_be_cancelled_is_not_given_to_another_slave() -> None:
    running = job_state.accept(Standing(), 1, "ada", 1030.0, 1000.0)
    assert running is not None
    cancelling = job_state.cancel(running)
    assert cancelling is not None
    assert cancelling.state is JobState.RUNNING
    assert job_state.reissue(cancelling, 1) is None
    assert job_state.finish(cancelling, 1, JobState.CANCELLED) is not None
