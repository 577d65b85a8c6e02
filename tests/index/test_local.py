import hashlib

import pytest

from pyti.errors import MalformedArchive, UsageError
from pyti.index import local_distribution


def test_a_built_file_is_described(tmp_path, wheel_bytes, sdist_bytes):
    wheel = tmp_path / "Demo_It-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel_bytes("Demo_It", "1.0", requires_python=">=3.8"))
    found = local_distribution(wheel)
    assert (found.name, found.version, found.requires_python) == ("demo-it", "1.0", ">=3.8")
    assert (found.sha256, found.size) == (hashlib.sha256(wheel.read_bytes()).hexdigest(), wheel.stat().st_size)
    sdist = tmp_path / "demo-1.0.tar.gz"
    sdist.write_bytes(sdist_bytes("demo", "1.0", metadata_version="1.1"))
    assert local_distribution(sdist).kind == "sdist"


@pytest.mark.parametrize(
    "name", ["missing-1.0.tar.gz", ".", "notes.txt", "demo.whl", "demo-1.0.tar.bz2", "a b-1.0.tar.gz"]
)
def test_what_is_no_distribution_is_a_usage_error(tmp_path, name):
    if name not in {".", "missing-1.0.tar.gz"}:
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError):
        local_distribution(tmp_path / name)


def test_a_wrong_content_is_malformed(tmp_path, wheel_bytes, metadata_bytes):
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(b"no archive")
    with pytest.raises(MalformedArchive):
        local_distribution(path)
    path.write_bytes(wheel_bytes("demo", "1.0", metadata=metadata_bytes("other", "1.0")))
    with pytest.raises(MalformedArchive, match="other"):
        local_distribution(path)
