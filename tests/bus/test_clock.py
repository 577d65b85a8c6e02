from pyti.bus import VirtualClock


def test_timers_run_in_order_at_their_own_time_and_cancelled_ones_never():
    clock = VirtualClock(100.0)
    seen = []
    clock.call_later(2, lambda: seen.append(("b", clock.time())))
    clock.call_later(
        1, lambda: (seen.append(("a", clock.time())), clock.call_later(0.5, lambda: seen.append("nested")))
    )
    clock.call_later(1.2, lambda: seen.append("cancelled")).cancel()
    clock.call_later(9, lambda: seen.append("too late"))
    clock.advance(5)
    assert seen == [("a", 101.0), "nested", ("b", 102.0)]
    assert clock.time() == 105.0
