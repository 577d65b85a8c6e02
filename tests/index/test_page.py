import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyti.errors import IndexLied
from pyti.index.page import JSON_TYPE, parse_filename, parse_page

BASE = "https://index.test/simple/demo/"


def page(*files, **more):
    body = {"meta": {"api-version": "1.0"}, "name": "demo", "files": list(files), **more}
    return parse_page("demo", json.dumps(body).encode(), JSON_TYPE, BASE)


def entry(filename="demo-1.0.tar.gz", **more):
    return {"filename": filename, "url": f"https://files.test/{filename}", "hashes": {"sha256": "a" * 64}, **more}


def test_a_json_page_tells_all():
    found = page(
        entry(size=5, yanked="bad", **{"requires-python": ">=3.8", "upload-time": "2024-01-02T03:04:05Z"})
    ).files[0]
    assert (str(found.version), found.size, found.yanked, found.yanked_reason) == ("1.0", 5, True, "bad")
    assert found.requires_python == ">=3.8"
    assert found.uploaded == 1704164645.0
    assert found.distribution(["b", "a"]).extras == ("a", "b")


def test_an_html_page_tells_the_same():
    html = (
        f'<a href="../../files/demo-1.0.tar.gz#sha256={"a" * 64}" data-requires-python="&gt;=3.8" data-yanked="bad">'
        "demo-1.0.tar.gz</a>"
    )
    found = parse_page("demo", html.encode(), "text/html; charset=utf-8", BASE).files[0]
    assert found.url == "https://index.test/files/demo-1.0.tar.gz"
    assert (found.sha256, found.requires_python, found.yanked, found.yanked_reason) == ("a" * 64, ">=3.8", True, "bad")


def test_releases_are_ordered_newest_first():
    found = page(entry("demo-1.0.tar.gz"), entry("demo-10.0.tar.gz"), entry("demo-9.0-py3-none-any.whl"))
    assert [str(version) for version in found.releases] == ["10.0", "9.0", "1.0"]


def test_eggs_and_other_projects_files_are_left_out():
    found = page(entry(), entry("demo-1.0-py2.7.egg"), entry("other-1.0.tar.gz"))
    assert [file.filename for file in found.files] == ["demo-1.0.tar.gz"]
    assert found.ignored == ("other-1.0.tar.gz", "demo-1.0-py2.7.egg")


@pytest.mark.parametrize(
    "bad",
    [
        entry(url="file:///etc/demo-1.0.tar.gz"),
        entry(url="http://files.test/demo-1.0.tar.gz"),
        entry(url="https://files.test/other-1.0.tar.gz"),
        entry(url="javascript:demo-1.0.tar.gz"),
        entry(url="https://[broken/demo-1.0.tar.gz"),
        entry(url="https://files.test/" + "x" * 5000 + "/demo-1.0.tar.gz"),
        entry(size=-1),
        entry(size="5"),
        entry(hashes={"sha256": "short"}),
        entry("other-1.0.tar.gz"),
    ],
)
def test_lies_are_refused(bad):
    with pytest.raises(IndexLied):
        page(bad)


def test_a_page_that_names_a_file_twice_or_another_project_is_refused():
    with pytest.raises(IndexLied, match="twice"):
        page(entry(), entry())
    with pytest.raises(IndexLied, match="other"):
        page(name="other")
    with pytest.raises(IndexLied, match="version"):
        page(meta={"api-version": "2.0"})


def test_path_tricks_in_file_names_are_never_believed():
    tricks = [
        "../demo-1.0.tar.gz",
        "/etc/demo-1.0.tar.gz",
        "demo-1.0.tar.gz\x00",
        ".demo-1.0.tar.gz",
        "demo-1.0\n.tar.gz",
    ]
    assert page(*(entry(trick) for trick in tricks)).files == ()


@given(st.text())
def test_any_file_name_is_parsed_or_refused(filename):
    try:
        version, *_ = parse_filename(filename, "demo")
    except (ValueError, LookupError):
        return
    assert "/" not in filename
    assert str(version)


@given(st.binary(max_size=300), st.sampled_from([JSON_TYPE, "text/html", "image/png", ""]))
def test_any_body_is_a_page_or_a_lie(body, content_type):
    try:
        found = parse_page("demo", body, content_type, BASE)
    except IndexLied:
        return
    assert found.name == "demo"


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["filename", "url", "hashes", "size", "yanked", "requires-python", "upload-time", "core-metadata"]
        ),
        JSONISH,
    )
)
def test_any_file_entry_is_believed_or_a_lie(fields):
    with contextlib.suppress(IndexLied):
        assert page({**entry(), **fields}).name == "demo"
