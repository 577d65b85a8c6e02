import tomllib
from pathlib import Path

import pytest
from packaging.pylock import Pylock, PylockValidationError

from pyti.index import LockedFile
from pyti.index.lock import lock_text
from pyti.messages import DistributionKind


def locked(name, role, kind=DistributionKind.WHEEL, version="1.0", **more):
    filename = f"{name}-{version}-py3-none-any.whl" if kind is DistributionKind.WHEEL else f"{name}-{version}.tar.gz"
    said = {"url": f"https://files.test/{filename}", "sha256": "a" * 64, "size": 3, **more}
    return LockedFile(name, version, filename, kind, path=Path(filename), role=role, **said)


def test_the_lock_reads_back_with_every_hash(target):
    files = [
        locked("demo", "root", DistributionKind.SDIST, uploaded=1704164645.5, requires_python=">=3.8"),
        locked("a", "runtime", also_build=True),
        locked("b", "test", url=None),
        locked("setuptools", "build"),
        locked("a", "build", version="2.0"),
    ]
    text = lock_text(files, target, ["test"], "https://index.test/simple/")
    lock = Pylock.from_dict(tomllib.loads(text))
    assert [package.name for package in lock.packages] == ["a", "b", "demo"]
    assert lock.packages[2].sdist.hashes == {"sha256": "a" * 64}
    assert lock.packages[2].sdist.upload_time.year == 2024
    assert lock.packages[1].wheels[0].path == "b-1.0-py3-none-any.whl"
    assert [(entry["name"], entry["version"]) for entry in lock.tool["pyti"]["build"]] == [
        ("a", "1.0"), ("a", "2.0"), ("setuptools", "1.0"),
    ]  # fmt: skip
    assert lock.environments[0].evaluate({**target.markers, "extra": ""})


def test_a_damaged_lock_does_not_read_back(target):
    table = tomllib.loads(lock_text([locked("demo", "root")], target, [], "https://index.test/simple/"))
    del table["packages"][0]["wheels"][0]["hashes"]
    with pytest.raises(PylockValidationError):
        Pylock.from_dict(table)
