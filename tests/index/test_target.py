import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.tags import parse_tag

from pyti.errors import ConfigError
from pyti.index import Target


def test_earlier_tags_rank_better(target):
    native = target.rank(parse_tag("cp311-cp311-manylinux_2_28_x86_64"))
    pure = target.rank(parse_tag("py3-none-any"))
    assert native is not None
    assert pure is not None
    assert native < pure
    assert target.rank(parse_tag("cp312-cp312-manylinux_2_28_x86_64")) is None
    assert target.rank(parse_tag("cp311-cp311-manylinux_2_39_x86_64")) is None


def test_markers_speak_of_the_guest(target):
    assert target.applies(Requirement("a; python_version == '3.11' and sys_platform == 'linux'").marker)
    assert not target.applies(Requirement("a; sys_platform == 'win32'").marker)
    assert not target.applies(Requirement("a; extra == 'test'").marker)
    assert target.applies(Requirement("a; extra == 'test'").marker, "test")


def test_requires_python_is_judged_for_the_guest(target):
    assert target.allows(">=3.8")
    assert target.allows(None)
    assert not target.allows(">=3.12")
    assert target.allows("no specifier at all")


@pytest.mark.parametrize("key", ["implementation", "python_full_version", "markers", "tags"])
def test_a_manifest_that_lacks_something_is_refused(manifest, key):
    del manifest[key]
    with pytest.raises(ConfigError, match="manifest"):
        Target.from_manifest(manifest)


@given(
    st.dictionaries(
        st.sampled_from(["implementation", "python_full_version", "markers", "tags"]), st.text() | st.none()
    )
)
def test_any_manifest_is_read_or_refused(manifest):
    with pytest.raises(ConfigError):
        Target.from_manifest(manifest)
