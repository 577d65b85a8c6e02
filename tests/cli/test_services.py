"""A service of its own needs a broker and says so; what services do is for the system tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.mark.parametrize("command", ["master", "slave"])
def test_a_service_without_a_broker_is_refused(pyti: Run, home: Path, command: str) -> None:
    outcome = pyti(command)

    assert outcome.status == 2
    assert "needs a broker" in outcome.said
    assert "amqp://" in outcome.said
    assert not home.exists()


def test_a_broker_that_is_not_there_is_told_without_its_password(pyti: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTI_BUS__URL", "amqp://guest:secret@127.0.0.1:1/")
    monkeypatch.setenv("PYTI_BUS__CONNECT_TIMEOUT_S", "0.2")

    outcome = pyti("master")

    assert outcome.status == 3
    assert "127.0.0.1" in outcome.said
    assert "secret" not in outcome.err
    assert "Traceback" not in outcome.err
