from pathlib import Path

import pytest

from pyti.errors import HypervisorUnavailable
from pyti.machines.layout import MAX_SOCKET_PATH, Layout


def test_qemus_user_may_walk_through_but_not_into_the_locks(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    layout = Layout(home)
    layout.prepare()
    layout.prepare()
    for folder in (layout.home, layout.images, layout.templates, layout.machines, layout.cache):
        assert folder.stat().st_mode & 0o011 == 0o011
    for folder in (layout.owners, layout.locks):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_path_is_refused_from_the_first_byte_that_does_not_fit(tmp_path):
    rest = len("/machines/owner/00000000/state")
    exact = tmp_path / ("x" * (MAX_SOCKET_PATH - rest - len(str(tmp_path)) - 1))
    Layout(exact).check_socket_paths("owner")
    with pytest.raises(HypervisorUnavailable, match="too long"):
        Layout(exact.with_name(exact.name + "x")).check_socket_paths("owner")


def test_a_relative_home_becomes_absolute():
    assert Layout(Path("home")).machine("o", "m").is_absolute()
