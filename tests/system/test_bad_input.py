"""Bad input gets a clear message with the remedy and the right exit status, and leaves nothing behind."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.machine


@pytest.fixture
def wheel_on_index(small_index, make_wheel):
    """A good project on the index, and its wheel."""
    data = make_wheel("goodone", "1.0", {"goodone.py": "x = 1\n"})
    small_index.add("goodone-1.0-py3-none-any.whl", data)
    return data


def test_an_unknown_project_is_named(command) -> None:
    done = command.run("test", "no-such-thing", "--quiet")

    assert done.status == 2
    assert "no-such-thing" in done.err
    assert done.out == ""


def test_an_unknown_version_is_answered_with_those_that_exist(command, wheel_on_index) -> None:
    done = command.run("test", "goodone==9", "--quiet")

    assert done.status == 2
    assert "goodone" in done.err
    assert "1.0" in done.err


def test_a_kind_of_file_that_the_release_lacks_is_named(command, wheel_on_index) -> None:
    done = command.run("test", "goodone", "--sdist", "--quiet")

    assert done.status == 2
    assert "sdist" in done.err


def test_a_yanked_release_is_tested_only_when_it_is_pinned(command, small_index, make_wheel) -> None:
    small_index.add(
        "pulled-1.0-py3-none-any.whl", make_wheel("pulled", "1.0", {"pulled.py": ""}), yanked="it was broken"
    )

    loose = command.run("test", "pulled", "--quiet")
    pinned = command.run("test", "pulled==1.0", "--profile", "quick", "--quiet", "--json")

    assert loose.status == 2
    assert "yanked" in loose.err
    assert pinned.status == 0, pinned.err
    assert json.loads(pinned.out)["distribution"]["yanked"] is True


def test_a_wrong_hash_ends_the_job_and_blames_the_index(command, small_index, make_wheel) -> None:
    small_index.add("liar-1.0-py3-none-any.whl", make_wheel("liar", "1.0", {"liar.py": ""}), sha256="0" * 64)

    done = command.run("test", "liar", "--quiet", "--json")

    report = json.loads(done.out)
    assert done.status == 3
    assert report["failure"]["error"] == "HashMismatch"
    assert report["failure"]["cause"] == "network"


def test_a_truncated_download_is_told_from_a_wrong_one(command, small_index, wheel_on_index) -> None:
    small_index.faults["goodone-1.0-py3-none-any.whl"] = "truncated"

    done = command.run("test", "goodone", "--quiet", "--json")

    report = json.loads(done.out)
    assert done.status == 3
    assert report["failure"]["cause"] == "network"
    assert report["failure"]["error"] in ("TruncatedDownload", "IndexUnavailable")


def test_an_index_that_is_down_is_named(command) -> None:
    command.environment["PYTI_INDEX__URL"] = "http://127.0.0.1:9/simple/"

    done = command.run("test", "six", "--quiet")

    assert done.status == 3
    assert "127.0.0.1:9" in done.err


@pytest.mark.parametrize("fault", ["error", "hang", "garbage"])
def test_an_index_that_misbehaves_is_given_up_within_the_limits(command, small_index, wheel_on_index, fault) -> None:
    small_index.faults["goodone"] = fault

    done = command.run("test", "goodone", "--quiet", limit_s=60)

    assert done.status == 3
    assert "goodone" in done.err or small_index.url in done.err


def test_a_requirement_that_cannot_be_resolved_shows_the_resolvers_explanation(
    command, small_index, make_wheel
) -> None:
    small_index.add("leaf-1.0-py3-none-any.whl", make_wheel("leaf", "1.0", {"leaf.py": ""}))
    small_index.add("wants-1.0-py3-none-any.whl", make_wheel("wants", "1.0", {"wants.py": ""}, requires=("leaf>=2",)))

    done = command.run("test", "wants", "--quiet", "--json")

    failure = json.loads(done.out)["failure"]
    assert done.status == 1
    assert failure["error"] == "ResolutionImpossible"
    assert "leaf" in failure["message"]
    assert ">=2" in failure["message"]


def test_a_malformed_archive_is_refused_before_anything_opens_it(command, small_index) -> None:
    small_index.add("broken-1.0-py3-none-any.whl", b"this is no archive")

    done = command.run("test", "broken", "--quiet", "--json")

    assert done.status == 1
    assert json.loads(done.out)["failure"]["error"] == "MalformedArchive"


def test_a_local_file_that_is_missing_or_broken_is_named(command, tmp_path) -> None:
    broken = tmp_path / "broken-1.0.tar.gz"
    broken.write_bytes(b"no archive")

    missing = command.run("test", "--file", str(tmp_path / "gone-1.0.tar.gz"), "--quiet")
    malformed = command.run("test", "--file", str(broken), "--quiet")

    assert missing.status == 2
    assert "gone-1.0.tar.gz" in missing.err
    assert malformed.status in (1, 2)
    assert "broken-1.0.tar.gz" in malformed.err


def test_a_missing_image_is_named_with_the_command_that_builds_it(command, tmp_path) -> None:
    command.environment["PYTI_HOME"] = str(tmp_path / "h")

    done = command.run("test", "six", "--quiet")

    assert done.status == 3
    assert "pyti image build" in done.err


def test_too_little_space_is_told_before_a_machine_is_cloned(command, wheel_on_index) -> None:
    command.environment["PYTI_MACHINES__MIN_FREE_BYTES"] = str(2**60)

    done = command.run("test", "goodone", "--quiet", "--json")

    failure = json.loads(done.out)["failure"]
    assert done.status == 3
    assert failure["cause"] == "resource"
    assert failure["error"] == "OutOfSpace"
