from hypothesis import given
from hypothesis import strategies as st

from pyti.machines.owners import MAX_OWNER, owner_key


def test_a_short_safe_name_stays():
    assert owner_key("slave-1") == "slave-1"


def test_long_names_that_begin_alike_stay_apart():
    assert owner_key("a" * 50 + "1") != owner_key("a" * 50 + "2")


def test_names_that_differ_only_in_unsafe_letters_stay_apart():
    assert owner_key("a/b") != owner_key("a-b") != owner_key("A-b")


@given(st.text())
def test_no_name_leaves_its_folder(name):
    key = owner_key(name)
    assert 0 < len(key) <= MAX_OWNER
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not key.startswith("-")
