import pytest

from pyti.config import IndexSettings
from pyti.errors import ConfigError
from pyti.index.location import certificates, index_url, locate, pip_files, pip_option, tls_context, without_secrets


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def world(tmp_path):
    """An environment whose pip files all lie below a folder of the test's."""
    return {"XDG_CONFIG_DIRS": str(tmp_path / "xdg"), "XDG_CONFIG_HOME": str(tmp_path / "own")}


def option(name, world, tmp_path):
    return pip_option(name, world, home=tmp_path / "home", prefix=tmp_path / "venv")


def test_settings_come_before_pip(world):
    settings = IndexSettings(url="https://one.test/simple")
    assert index_url(settings, {**world, "PIP_INDEX_URL": "https://two.test/simple/"}) == "https://one.test/simple/"


def test_pips_variable_comes_before_its_files(world, tmp_path):
    write(tmp_path / "own/pip/pip.conf", "[global]\nindex-url = https://file.test/simple\n")
    assert option("index-url", world, tmp_path) == "https://file.test/simple"
    assert option("index-url", {**world, "PIP_INDEX_URL": "https://var.test/"}, tmp_path) == "https://var.test/"


def test_nearer_files_override_farther_ones_and_install_overrides_global(world, tmp_path):
    write(tmp_path / "xdg/pip/pip.conf", "[global]\nindex_url = https://shared.test/\n")
    assert option("index-url", world, tmp_path) == "https://shared.test/"
    write(tmp_path / "own/pip/pip.conf", "[global]\nindex-url = https://user.test/\n")
    assert option("index-url", world, tmp_path) == "https://user.test/"
    write(tmp_path / "venv/pip.conf", "[install]\nindex-url = https://site.test/\n")
    assert option("index-url", world, tmp_path) == "https://site.test/"


def test_the_named_file_is_last_and_the_null_device_means_none(tmp_path):
    files = pip_files({"PIP_CONFIG_FILE": "/x/pip.conf"}, tmp_path, tmp_path)
    assert str(files[-1]) == "/x/pip.conf"
    assert pip_files({"PIP_CONFIG_FILE": "/dev/null"}, tmp_path, tmp_path) == []


def test_without_any_configuration_a_constant_is_used():
    assert index_url(IndexSettings(), {"PIP_CONFIG_FILE": "/dev/null"}).endswith("/simple/")


def test_extra_indexes_are_ignored(world, tmp_path):
    write(tmp_path / "own/pip/pip.conf", "[global]\nextra-index-url = https://extra.test/simple\n")
    location = locate(IndexSettings(), {**world, "PIP_EXTRA_INDEX_URL": "https://more.test/simple"})
    assert location.root.host not in {"extra.test", "more.test"}


@pytest.mark.parametrize("url", ["file:///etc", "ftp://x.test/", "simple", "http://", "http://[::1", ""])
def test_what_is_no_http_url_is_refused(url):
    if not url:
        assert index_url(IndexSettings(url=url), {"PIP_CONFIG_FILE": "/dev/null"})
        return
    with pytest.raises(ConfigError):
        index_url(IndexSettings(url=url), {})


def test_a_broken_pip_file_is_named(world, tmp_path):
    write(tmp_path / "own/pip/pip.conf", "index-url = without a section\n")
    with pytest.raises(ConfigError, match=r"pip\.conf"):
        option("index-url", world, tmp_path)


def test_credentials_are_split_off_and_never_shown():
    location = locate(IndexSettings(url="https://me:secret@one.test/simple?token=secret"), {})
    assert (location.user, location.password) == ("me", "secret")
    assert "secret" not in str(location.root)
    assert "secret" not in repr(location)
    assert without_secrets("https://me:secret@one.test/a?token=secret#secret") == "https://one.test/a"


def test_authorities_come_from_pip_then_from_openssls_variable(tmp_path):
    assert str(certificates({"PIP_CERT": "/a.pem", "SSL_CERT_FILE": "/b.pem"})) == "/a.pem"
    alone = {"PIP_CONFIG_FILE": "/dev/null", "SSL_CERT_FILE": "/b.pem"}
    assert str(certificates(alone)) == "/b.pem"
    with pytest.raises(ConfigError, match="authorities"):
        tls_context(tmp_path / "missing.pem")
