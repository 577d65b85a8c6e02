import errno

import pytest

from pyti.errors import OutOfSpace
from pyti.machines.space import require_space, space_errors


def test_what_does_not_fit_is_refused_with_both_sizes(tmpfs):
    folder = tmpfs(4)
    require_space(folder, 2**20, purpose="a thing")
    with pytest.raises(OutOfSpace, match=r"a thing needs 5 MiB free below .*, but there are 4 MiB") as caught:
        require_space(folder, 5 * 2**20, purpose="a thing")
    assert "PYTI_HOME" in caught.value.remedy


def test_a_disk_that_fills_up_is_out_of_space(tmpfs):
    folder = tmpfs(1)
    with pytest.raises(OutOfSpace, match="during baking"), space_errors("baking"):
        (folder / "cake").write_bytes(b"\0" * 2 * 2**20)


def test_a_quota_is_out_of_space():
    with pytest.raises(OutOfSpace), space_errors("baking"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_other_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), space_errors("baking"):
        (tmp_path / "nowhere" / "cake").read_bytes()
