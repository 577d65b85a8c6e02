from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from pyti.guest.requirements import available, missing, name_of, specialise

EXTRAS = ("socks", "use-chardet")
LINES = (
    "idna<4,>=2.5",
    'PySocks!=1.5.7,>=1.5.6; extra == "socks"',
    "chardet>=3 ; (python_version >= '3.8') and extra == 'use-chardet'",
    'win_inet_pton; sys_platform == "win32" and extra == "socks"',
    'a; extra == "socks" or python_version < "3"',
    'b; "use_chardet" == extra',
    'c; extra != "socks"',
    "d[x,y] @ file:///d-1.zip",
)


@given(st.lists(st.sampled_from(LINES)), st.sets(st.sampled_from(EXTRAS)))
def test_the_extras_are_decided_as_packaging_would(lines: list[str], extras: set[str]):
    decided = specialise(lines, extras)
    assert not any("extra" in line for line in decided)

    def wanted(line: str, extra: str) -> bool:
        marker = Requirement(line).marker
        return marker is None or marker.evaluate({"extra": extra})

    ours = [Requirement(line).name for line in decided if wanted(line, "")]
    theirs = [Requirement(line).name for line in lines if any(wanted(line, extra) for extra in extras or {""})]
    if len(extras) < 2 or "c" not in theirs:
        assert ours == theirs


def test_what_an_unchosen_extra_asks_for_is_gone():
    assert specialise(LINES[:3], ()) == ["idna<4,>=2.5"]
    assert specialise(LINES[:2], ("SOCKS",)) == ["idna<4,>=2.5", "PySocks!=1.5.7,>=1.5.6"]


def test_the_wheelhouse_is_known_by_its_file_names():
    files = ["setuptools-84.0-py3-none-any.whl", "Hatch_Vcs-0.5.tar.gz", "a.b-1.0-cp311-cp311-linux_x86_64.whl"]
    assert available(files) == {"setuptools", "hatch-vcs", "a-b"}
    assert missing(["setuptools>=40", "hatch.vcs", "wheel", "tomli; python_version<'3.11'"], files) == ["wheel"]


def test_a_name_is_what_stands_first():
    assert name_of(" Foo.Bar[x]>=1") == "foo-bar"
    assert name_of(">=1") == ""
