import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.bus import Registry
from pyti.errors import InvalidMessage, UnknownMessage


class One(msgspec.Struct, frozen=True, tag_field="type", tag="a.thing.v1"):
    n: int


class Two(msgspec.Struct, frozen=True, tag_field="type", tag="a.thing.v2"):
    n: int
    extra: str = ""


class Twin(msgspec.Struct, frozen=True, tag_field="type", tag="a.thing.v1"):
    n: int


class Untagged(msgspec.Struct):
    n: int


REGISTRY = Registry(One, Two)


@given(st.integers(-(2**63), 2**63 - 1), st.text())
def test_what_is_encoded_is_decoded_again(n, text):
    for message in (One(n=n), Two(n=n, extra=text)):
        assert REGISTRY.decode(*REGISTRY.encode(message)) == message


@given(st.text(), st.binary())
def test_hostile_tags_and_bodies_raise_only_the_named_errors(tag, body):
    with pytest.raises((UnknownMessage, InvalidMessage)):
        REGISTRY.decode(tag, body)


@given(st.binary())
def test_a_hostile_body_under_a_known_tag_is_invalid(body):
    with pytest.raises(InvalidMessage):
        REGISTRY.decode("a.thing.v1", body)


def test_a_deeply_nested_body_is_invalid():
    with pytest.raises(InvalidMessage):
        REGISTRY.decode("a.thing.v1", b'{"type":"a.thing.v1","n":' + b"[" * 200_000)


def test_a_body_with_another_tag_than_the_envelope_is_invalid():
    with pytest.raises(InvalidMessage, match=r"a\.thing\.v1"):
        REGISTRY.decode("a.thing.v1", REGISTRY.encode(Two(n=1))[1])


def test_unknown_fields_are_ignored():
    assert REGISTRY.decode("a.thing.v1", b'{"type":"a.thing.v1","n":1,"new":[]}') == One(n=1)


def test_an_unknown_version_names_the_known_ones():
    with pytest.raises(UnknownMessage, match=r"version 3 .* known: v1, v2"):
        REGISTRY.decode("a.thing.v3", b"{}")
    assert REGISTRY.knows_name("a.thing.v3")
    assert not REGISTRY.knows_name("b.thing.v1")


def test_registering_twice_is_harmless_and_two_types_of_one_tag_are_refused():
    registry = Registry(One, One)
    assert list(registry) == [One]
    assert One in registry
    with pytest.raises(ValueError, match="share the tag"):
        registry.register(Twin)


def test_a_type_without_a_versioned_tag_is_refused():
    with pytest.raises(ValueError, match="needs a tag"):
        Registry(Untagged)


def test_a_message_of_an_unregistered_type_cannot_be_encoded():
    with pytest.raises(UnknownMessage, match="Untagged"):
        REGISTRY.encode(Untagged(n=1))
