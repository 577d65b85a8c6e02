from hypothesis import given
from hypothesis import strategies as st

from pyti.bus.fairness import TURN, TakeOrder


@given(st.integers(1, 200))
def test_of_any_eight_messages_in_a_row_one_look_begins_at_the_last_queue(count):
    order = TakeOrder()
    firsts = []
    for _ in range(count):
        firsts.append(order.order(("high", "normal"))[0])
        order.took(("high", "normal"))
    assert firsts == ["normal" if n % TURN == TURN - 1 else "high" for n in range(count)]


def test_looking_without_taking_changes_nothing_and_sets_of_queues_are_counted_apart():
    order = TakeOrder(turn=2)
    assert [order.order(("a", "b")) for _ in range(3)] == [("a", "b")] * 3
    order.took(("a", "b"))
    assert order.order(("a", "b")) == ("b", "a")
    assert order.order(("a", "c")) == ("a", "c")
