import msgspec
import pytest

from pyti.bus import Registry, VirtualClock
from pyti.bus.composing import Composer
from pyti.errors import UnknownMessage


class Note(msgspec.Struct, frozen=True, tag_field="type", tag="test.note.v1"):
    n: int


COMPOSER = Composer(Registry(Note), VirtualClock(50.0), app="pyti", user="slave")


def test_an_envelope_carries_who_sent_what_and_when():
    envelope = COMPOSER.compose(Note(n=1), correlation_id="job-1", deadline=60.5, headers={"share": 0.5})
    assert (envelope.type, envelope.body) == ("test.note.v1", b'{"type":"test.note.v1","n":1}')
    assert (envelope.app_id, envelope.user_id, envelope.timestamp) == ("pyti", "slave", 50.0)
    assert (envelope.correlation_id, envelope.deadline, envelope.attempt) == ("job-1", 60.5, 1)
    assert envelope.headers["share"] == "0.5"


def test_each_message_has_an_id_of_its_own_unless_it_is_given_one():
    ids = {COMPOSER.compose(Note(n=1)).message_id for _ in range(100)}
    assert len(ids) == 100
    assert COMPOSER.compose(Note(n=1), message_id="mine").message_id == "mine"


def test_what_cannot_be_sent_is_refused():
    with pytest.raises(UnknownMessage):
        Composer(Registry(), VirtualClock(), app="x", user=None).compose(Note(n=1))
    with pytest.raises(TypeError, match="header"):
        COMPOSER.compose(Note(n=1), headers={"x": object()})
