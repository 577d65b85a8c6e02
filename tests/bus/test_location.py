import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.bus.location import Location
from pyti.errors import ConfigError


def test_an_inprocess_url_names_a_broker():
    location = Location.parse("inprocess:demo")
    assert (location.is_inprocess, location.name, location.user) == (True, "demo", None)
    assert Location.parse("inprocess:").name == ""


def test_what_is_shown_has_no_secrets_and_the_user_is_decoded():
    location = Location.parse("amqps://sl%40ve:p%2Fw@rabbit.example:5671/vh?password=x#y")
    assert location.shown == "amqps://rabbit.example:5671/vh"
    assert location.user == "sl@ve"
    assert Location.parse("amqp://[::1]/").shown == "amqp://[::1]/"


@pytest.mark.parametrize(
    "url", ["", "http://rabbit.example/", "amqp:", "amqp://u:hunter2@host:port/", "amqp://:hunter2@/"]
)
def test_a_senseless_url_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigError) as caught:
        Location.parse(url)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_location_or_a_configuration_error(text):
    try:
        location = Location.parse(text)
    except ConfigError:
        return
    assert location.scheme in ("inprocess", "amqp", "amqps")
