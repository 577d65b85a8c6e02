import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.bus.envelope import MAX_HISTORY, Envelope, Failure, history_header, portable, without_trail

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.sampled_from(["attempt", "deadline", "history", "traceparent", "other"]), ANYTHING))
def test_hostile_headers_are_read_as_sensible_values(headers):
    envelope = Envelope(body=b"", headers=headers)
    assert 1 <= envelope.attempt <= 1_000_000
    assert envelope.deadline is None or abs(envelope.deadline) < float("inf")
    assert all(isinstance(failure, Failure) for failure in envelope.history)
    assert envelope.traceparent is None or isinstance(envelope.traceparent, str)


@given(
    st.lists(
        st.builds(
            Failure,
            attempt=st.integers(1, 9),
            queue=st.text(),
            error=st.text(),
            message=st.text(),
            at=st.floats(0, 1e10),
            delay_s=st.floats(0, 1e6),
        ),
        max_size=30,
    ).map(tuple)
)
def test_history_survives_the_wire_bounded_to_the_newest(history):
    envelope = Envelope(body=b"", headers={"history": history_header(history)})
    assert envelope.history == history[-MAX_HISTORY:]


def test_floats_travel_as_text_and_keep_their_precision():
    assert portable({"at": 1795369344.123, "rows": [{"x": 0.1}], "n": 1, "b": True}) == {
        "at": "1795369344.123",
        "rows": [{"x": "0.1"}],
        "n": 1,
        "b": True,
    }
    assert Envelope(body=b"", headers=portable({"deadline": 1795369344.123})).deadline == 1795369344.123


@pytest.mark.parametrize("value", [2**63, object(), {1, 2}, [object()]])
def test_headers_that_no_wire_carries_are_refused(value):
    with pytest.raises(TypeError, match="header"):
        portable({"x": value})


def test_the_brokers_trail_is_left_out_of_a_copy():
    assert without_trail({"x-death": [], "x-delivery-count": 3, "attempt": 2}) == {"attempt": 2}
