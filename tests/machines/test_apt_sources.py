from hypothesis import given
from hypothesis import strategies as st

from pyti.machines.apt_sources import proxy_options, sources_for

DEB822 = """Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates trixie
Components: main
  contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

# a vendor's own
Types: deb
URIs: http://vendor.example/apt
Suites: vendor
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


def test_deb822_entries_of_the_suite_become_lines():
    key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    assert sources_for("bookworm", [(".sources", DEB822)]).splitlines() == [
        f"deb {key}http://mirror.example/debian bookworm main contrib",
        f"deb {key}http://mirror.example/debian bookworm-updates main contrib",
    ]


def test_one_line_entries_of_the_suite_are_kept_as_they_are():
    text = (
        "deb http://mirror.example/debian bookworm main # the archive\n"
        "deb [arch=amd64 trusted=yes] http://mirror.example/security bookworm-security main\n"
        "# deb http://off.example/debian bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb http://mirror.example/debian sid main\n"
    )
    assert sources_for("bookworm", [(".list", text)]).splitlines() == [
        "deb http://mirror.example/debian bookworm main",
        "deb [arch=amd64 trusted=yes] http://mirror.example/security bookworm-security main",
    ]


def test_files_that_apt_ignores_are_ignored():
    assert sources_for("bookworm", [(".disabled", "deb http://mirror.example/debian bookworm main\n")]) == ""


@given(st.text())
def test_no_text_is_too_strange(text):
    for line in sources_for("bookworm", [(".sources", text), (".list", text)]).splitlines():
        assert line.startswith("deb ")


def test_only_the_ways_to_the_archive_are_taken_from_the_hosts_settings():
    dump = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::https::CaInfo "/etc/ssl/ca.pem";\nAcquire::Languages "none";\n'
    )
    assert proxy_options(dump) == [
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::https::CaInfo "/etc/ssl/ca.pem";',
    ]
