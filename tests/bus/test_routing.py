from hypothesis import given
from hypothesis import strategies as st

from pyti.bus.routing import routes, topic_matches

KEYS = st.lists(st.sampled_from(["a", "b", "job"]), max_size=6).map(".".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "job", "*", "#"]), max_size=6).map(".".join)


def by_recursion(pattern, words):
    """The rule as AMQP states it, slow and plain."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(by_recursion(pattern[1:], words[n:]) for n in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and by_recursion(pattern[1:], words[1:])


@given(PATTERNS, KEYS)
def test_a_topic_pattern_matches_as_the_plain_rule_says(pattern, key):
    split = [part.split(".") if part else [] for part in (pattern, key)]
    assert topic_matches(pattern, key) == by_recursion(*split)


@given(KEYS)
def test_a_pattern_without_wildcards_matches_itself_and_hash_matches_all(key):
    assert topic_matches(key, key)
    assert topic_matches("#", key)
    assert routes("fanout", "", key)
    assert routes("direct", key, key)


def test_star_is_exactly_one_word_and_direct_knows_no_wildcards():
    assert topic_matches("job.*.high", "job.x86_64.high")
    assert not topic_matches("job.*.high", "job.x86_64.bookworm.high")
    assert not topic_matches("*", "")
    assert not routes("direct", "job.*", "job.x")
    assert routes("topic", "job.#", "job")


def test_a_hostile_pattern_is_answered_without_exponential_work():
    # By the plain rule this would take about 2**60 steps and never reach the end of the test's time limit.
    assert not topic_matches(".".join(["#", "a"] * 60), ".".join(["a"] * 59))
