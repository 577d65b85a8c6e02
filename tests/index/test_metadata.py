import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import MalformedArchive
from pyti.index import build_requirements, check_archive, read_metadata
from pyti.index.metadata import dependency_groups, parse_metadata
from pyti.messages import DistributionKind


@pytest.fixture
def sdist(tmp_path, sdist_bytes):
    """Make an sdist, check it, and give its path and summary."""

    def make(**described):
        path = tmp_path / "demo-1.0.tar.gz"
        path.write_bytes(sdist_bytes("demo", "1.0", **described))
        return path, check_archive(path, DistributionKind.SDIST)

    return make


def texts(metadata):
    return [str(requirement) for requirement in metadata.requires_dist]


def test_a_wheels_metadata_is_read(tmp_path, wheel_bytes):
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(
        wheel_bytes("demo", "1.0", requires=["a>1", "b; extra == 'x'"], extras=["x"], requires_python=">=3")
    )
    found = read_metadata(path)
    assert found is not None
    assert (found.name, str(found.version), texts(found)) == ("demo", "1.0", ["a>1", 'b; extra == "x"'])
    assert (found.extras, found.requires_python) == (("x",), ">=3")


def test_an_sdist_is_trusted_from_metadata_2_2_on(sdist):
    found = read_metadata(*sdist(requires=["a>1"]))
    assert found is not None
    assert texts(found) == ["a>1"]
    assert read_metadata(*sdist(metadata_version="2.1")) is None
    assert read_metadata(*sdist(dynamic=["Requires-Dist"])) is None
    assert read_metadata(*sdist(dynamic=["License-File"])) is not None


def test_an_old_sdist_is_trusted_when_its_project_table_is_static(sdist):
    project = """
        [project]
        name = "demo"
        dynamic = ["version"]
        dependencies = ["a>1"]
        optional-dependencies = {test = ["pytest; python_version > '3'", "b"]}
    """
    found = read_metadata(*sdist(metadata_version="2.1", pyproject=project))
    assert found is not None
    assert texts(found) == ["a>1", 'pytest; python_version > "3" and extra == "test"', 'b; extra == "test"']
    dynamic = project.replace('["version"]', '["version", "optional-dependencies"]')
    assert read_metadata(*sdist(metadata_version="2.1", pyproject=dynamic)) is None
    assert read_metadata(*sdist(metadata_version="2.1", pyproject="[project]\nname='demo'\n")) is None


@pytest.mark.parametrize(
    "broken", ["[project", "\x00", "[build-system]\nrequires = 5\n", "[build-system]\nrequires=['=']\n"]
)
def test_a_malformed_pyproject_is_told(sdist, broken):
    path, summary = sdist(metadata_version="2.1", pyproject=broken)
    with pytest.raises(MalformedArchive):
        build_requirements(summary, path.name)


@given(
    st.binary(max_size=300)
    | st.binary(max_size=60).map(lambda rest: b"Name: demo\nVersion: 1.0\nRequires-Dist: " + rest)
)
def test_any_metadata_is_read_or_malformed(data):
    try:
        found = parse_metadata(data, "demo")
    except MalformedArchive:
        return
    assert found.name
    assert found.version


def test_groups_for_tests_are_found_and_broken_ones_count_as_absent():
    table = {"dependency-groups": {"Tests": ["pytest", {"include-group": "more"}], "more": ["b"], "dev": ["c"]}}
    assert dependency_groups(table, ("test", "tests")) == ("pytest", "b")
    assert dependency_groups({"dependency-groups": {"test": [{"include-group": "test"}]}}, ("test",)) == ()
    assert dependency_groups({"dependency-groups": [1]}, ("test",)) == ()


LEGACY = ("setuptools>=40.8.0", "wheel")


@pytest.mark.parametrize(
    ("described", "requires", "complete"),
    [
        ({}, LEGACY, True),
        ({"files": {"setup.py": "setup(name='demo')"}}, LEGACY, True),
        ({"files": {"setup.py": "setup(setup_requires=['cython'])"}}, LEGACY, False),
        ({"files": {"setup.cfg": "[options]\nsetup_requires = cython\n"}}, LEGACY, False),
        ({"files": {"tools.py": "x = dict(setup_requires=[])"}}, LEGACY, False),
        (
            {"pyproject": "[build-system]\nrequires=['flit_core']\nbuild-backend='flit_core.buildapi'\n"},
            ("flit_core",),
            True,
        ),
        (
            {"pyproject": "[build-system]\nrequires=['meson-python']\nbuild-backend='mesonpy'\n"},
            ("meson-python",),
            False,
        ),
        (
            {"pyproject": "[build-system]\nrequires=[]\nbuild-backend='flit_core.buildapi'\nbackend-path=['.']\n"},
            (),
            False,
        ),
        (
            {"pyproject": "[build-system]\nrequires=['hatchling']\nbuild-backend='hatchling.build'\n"},
            ("hatchling",),
            True,
        ),
        (
            {
                "pyproject": "[build-system]\nrequires=['hatchling']\nbuild-backend='hatchling.build'\n"
                "[tool.hatch.build.hooks.vcs]\nversion-file='v.py'\n"
            },
            ("hatchling",),
            False,
        ),
    ],
)
def test_build_requirements_are_known_or_a_guest_is_asked(sdist, described, requires, complete):
    path, summary = sdist(**described)
    found = build_requirements(summary, path.name)
    assert (found.requires, found.complete) == (requires, complete)
