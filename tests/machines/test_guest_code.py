from hypothesis import given
from hypothesis import strategies as st

from pyti.machines.guest_code import digest_of, guest_files, recipe_files

names = st.from_regex(r"[a-z]{1,8}\.py", fullmatch=True)
trees = st.dictionaries(names, st.binary(max_size=20), min_size=1, max_size=4)


def digest(tmp, tree, *more):
    folder = tmp.mktemp("tree")
    for name, content in tree.items():
        (folder / name).write_bytes(content)
    return digest_of(guest_files(folder), *more)


@given(first=trees, second=trees)
def test_the_digest_changes_with_any_byte_and_any_name(tmp_path_factory, first, second):
    assert (digest(tmp_path_factory, first) == digest(tmp_path_factory, second)) is (first == second)


def test_what_is_mixed_in_counts(tmp_path_factory):
    assert digest(tmp_path_factory, {"a.py": b""}, "x") != digest(tmp_path_factory, {"a.py": b""}, "y")


def test_the_agent_and_its_units_are_among_the_files():
    assert "agent.py" in {str(name) for name in guest_files()}
    assert all(name.suffix == ".py" for name in guest_files())
    assert {"packages.txt", "sshd_config", "pyti-agent.service"} <= {str(name) for name in recipe_files()}
