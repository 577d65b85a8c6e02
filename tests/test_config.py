"""Settings come from a TOML file, then the environment; what is wrong is named by file and key."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from pyti.config import Settings, default_home, load
from pyti.errors import ConfigError, ExitStatus

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


def write(folder: Path, text: str) -> Path:
    path = folder / "pyti.toml"
    path.write_text(text)
    return path


def test_without_file_and_environment_everything_has_a_default() -> None:
    assert msgspec.structs.replace(load(None, {}), home=Path("x")) == Settings(home=Path("x"))


def test_a_file_sets_what_it_names(tmp_path: Path) -> None:
    path = write(tmp_path, '[bus]\nurl = "amqp://host.invalid/"\n[slave]\nslots = 7\n')
    settings = load(path, {})
    assert (settings.bus.url, settings.slave.slots) == ("amqp://host.invalid/", 7)
    assert settings.master == Settings().master


def test_a_home_that_is_no_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="home"):
        load(write(tmp_path, "home = 7\n"), {})


def test_a_file_sets_home(tmp_path: Path) -> None:
    assert load(write(tmp_path, 'home = "/srv/pyti"\n'), {}).home == Path("/srv/pyti")


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[slave]\nslots = 7\nheartbeat_s = 3.0\n")
    settings = load(
        path, {"PYTI_SLAVE__SLOTS": "9", "PYTI_MASTER__WATCH": '["six"]', "PYTI_BUS__URL": "amqp://h.invalid"}
    )
    assert (settings.slave.slots, settings.slave.heartbeat_s) == (9, 3.0)
    assert (settings.master.watch, settings.bus.url) == (("six",), "amqp://h.invalid")


def test_other_variables_are_left_alone() -> None:
    assert load(None, {"PYTI_HOME": "/elsewhere", "PATH": "/bin", "OTHER__KEY": "1"}).bus == Settings().bus


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[bus]\nurll = 1\n", r"unknown field `urll`.*\$\.bus"),
        ("[nothing]\nx = 1\n", "unknown field `nothing`"),
        ("[slave]\nslots = 0\n", r"\$\.slave\.slots"),
        ('[slave]\nslots = "two"\n', r"\$\.slave\.slots"),
        ("[master]\nlease_s = 0\n", r"\$\.master\.lease_s"),
        ('[machines]\naccel = "warp"\n', r"\$\.machines\.accel"),
        ('[bus]\nnamespace = "No Good"\n', r"\$\.bus\.namespace"),
        ("bus = 3\n", r"\$\.bus"),
        ("[index]\nmax_file_bytes = -1\n", r"\$\.index\.max_file_bytes"),
        ("[[[", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=says) as caught:
        load(path, {})
    assert str(path) in caught.value.message
    assert caught.value.remedy
    assert caught.value.exit_status == ExitStatus.USAGE


def test_a_file_that_is_no_text_or_not_there_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml is not valid TOML"):
        load(binary, {})
    with pytest.raises(ConfigError, match=r"absent\.toml: No such file"):
        load(tmp_path / "absent.toml", {})


def test_a_wrong_variable_is_named() -> None:
    with pytest.raises(ConfigError, match=r"the environment is wrong.*\$\.slave\.slots"):
        load(None, {"PYTI_SLAVE__SLOTS": "none"})


def test_a_variable_for_a_table_that_the_file_makes_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"PYTI_BUS__URL sets a key in \[bus\].*no table"):
        load(write(tmp_path, "bus = 3\n"), {"PYTI_BUS__URL": "x"})


def settings_or_error(path: Path | None, environment: dict[str, str]) -> Settings | ConfigError:
    try:
        return load(path, environment)
    except ConfigError as error:
        return error


@given(text=st.text(max_size=200))
def test_any_text_is_settings_or_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    outcome = settings_or_error(path, {})
    assert isinstance(outcome, Settings) or "any.toml" in outcome.message


@given(
    name=st.sampled_from(["SLAVE__SLOTS", "MASTER__WATCH", "BUS__URL", "NOTHING__X", "SLAVE__NAME", "INDEX__URL"]),
    value=st.text(max_size=50),
)
def test_any_variable_is_a_setting_or_an_error_of_ours(name: str, value: str) -> None:
    outcome = settings_or_error(None, {f"PYTI_{name}": value})
    assert isinstance(outcome, Settings) or "the environment" in outcome.message


@given(slots=st.integers(min_value=1, max_value=10**6), lease=st.floats(min_value=0.001, max_value=1e9))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, slots: int, lease: float) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_text(tomli_w.dumps({"slave": {"slots": slots}, "master": {"lease_s": lease}}))
    settings = load(path, {})
    assert (settings.slave.slots, settings.master.lease_s) == (slots, lease)


def test_unset_places_lie_below_home() -> None:
    settings = Settings(home=Path("/srv/pyti"))
    assert settings.database_url == "sqlite+aiosqlite:////srv/pyti/pyti.sqlite"
    assert settings.blobs_url == "/srv/pyti/blobs"


def test_home_follows_the_environment_and_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTI_HOME", "/elsewhere")
    assert default_home() == Path("/elsewhere")
    monkeypatch.delenv("PYTI_HOME")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/pyti")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_home() == Path("/state/pyti")


def every_setting() -> list[tuple[str, str, Any]]:
    found: list[tuple[str, str, Any]] = []
    for field in msgspec.structs.fields(Settings):
        kind = get_type_hints(Settings)[field.name]
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            found += [(field.name, inner.name, inner.default) for inner in msgspec.structs.fields(kind)]
        else:
            found.append(("", field.name, None))
    return found


@pytest.mark.parametrize(("table", "key", "default"), every_setting())
def test_the_reference_has_every_setting_with_its_default(table: str, key: str, default: Any) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    section = (
        re.search(rf"^## \[{table}\]$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        if table
        else re.search(r"\A(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    )
    assert section is not None, f"{REFERENCE.name} has no section [{table}]"
    row = re.search(rf"^\| `{key}` \| (.*?) \|", section[1], re.MULTILINE)
    assert row is not None, f"{REFERENCE.name} lacks [{table}] {key}"
    if table:
        shown = {None: "unset", (): "`[]`", True: "`true`", False: "`false`"}
        expected = shown[default] if isinstance(default, bool | tuple) or default is None else f"`{default}`"
        assert row[1] == expected, f"{REFERENCE.name} shows another default for [{table}] {key}"


def test_the_reference_has_no_setting_that_is_gone() -> None:
    known = {key for _, key, _ in every_setting()}
    assert set(re.findall(r"^\| `(\w+)` \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)) == known
