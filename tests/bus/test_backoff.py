from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.bus import Backoff

POLICIES = st.builds(
    Backoff,
    initial_s=st.floats(0.001, 10),
    factor=st.floats(1, 10),
    max_s=st.floats(10, 1000),
    attempts=st.integers(1, 30),
    jitter=st.floats(0, 0.99),
)


@given(POLICIES)
def test_delays_never_shrink_never_exceed_the_maximum_and_end_with_the_attempts(policy):
    delays = [policy.delay_after(attempt) for attempt in range(1, policy.attempts)]
    assert delays == sorted(delays)
    assert all(policy.initial_s <= delay <= policy.max_s for delay in delays)
    assert policy.delay_after(policy.attempts) is None
    assert policy.delay_after(policy.attempts + 5) is None


@given(POLICIES)
def test_every_delay_has_its_place_in_the_list_of_delays(policy):
    found = {policy.delay_after(attempt) for attempt in range(1, policy.attempts)}
    assert set(policy.delays()) == found
    assert list(policy.delays()) == sorted(found)


@given(POLICIES, st.floats(0.001, 1000), st.integers())
def test_jitter_only_shortens_and_by_its_share_at_most(policy, delay, seed):
    jittered = policy.jittered(delay, Random(seed))  # noqa: S311 - jitter needs no secrecy
    assert delay * (1 - policy.jitter) <= jittered <= delay


@given(POLICIES, st.integers(1, 10**9))
def test_an_endless_backoff_stays_at_the_maximum(policy, attempt):
    assert policy.initial_s <= policy.unbounded_delay(attempt) <= policy.max_s


def test_the_defaults_wait_1_4_16_and_64_seconds():
    assert [Backoff().delay_after(attempt) for attempt in range(1, 6)] == [1, 4, 16, 64, None]


@pytest.mark.parametrize(
    "wrong", [{"initial_s": 0}, {"factor": 0.5}, {"max_s": 0.1}, {"attempts": 0}, {"jitter": 1}, {"jitter": -0.1}]
)
def test_senseless_policies_are_refused(wrong):
    with pytest.raises(ValueError, match="backoff needs"):
        Backoff(**wrong)
