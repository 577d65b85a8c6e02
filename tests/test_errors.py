"""The tree that is drawn in the module's docstring is the tree that there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

from pyti import errors
from pyti.errors import Cause, ExitStatus, PytiError

DRAWN_LINE = re.compile(r"^    (?P<stem>[│├└─ ]*)(?P<name>[A-Z]\w+)(?P<words>.*)$")


def real_tree(kind: type[PytiError] = PytiError, depth: int = 0) -> Iterator[tuple[int, type[PytiError]]]:
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from real_tree(child, depth + 1)


def drawn_tree() -> list[tuple[int, str, str]]:
    lines = [DRAWN_LINE.match(line) for line in (errors.__doc__ or "").splitlines()]
    return [(len(line["stem"]) // 4, line["name"], line["words"].strip()) for line in lines if line]


KINDS = [kind for _, kind in real_tree()]


def test_the_drawn_tree_is_the_real_one() -> None:
    assert [(depth, name) for depth, name, _ in drawn_tree()] == [(depth, kind.__name__) for depth, kind in real_tree()]


def test_every_class_is_exported_and_told_in_one_sentence() -> None:
    defined = {
        name for name, value in vars(errors).items() if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert defined == set(errors.__all__)
    for name in defined:
        assert (getattr(errors, name).__doc__ or "").strip().endswith(".")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_drawn_retryable_is_retryable(kind: type[PytiError]) -> None:
    """A remark holds for a class and those below it, until one of them says otherwise."""
    remarks = {
        name: "(not retryable)" not in words
        for _, name, words in drawn_tree()
        if "(retryable)" in words or "(not retryable)" in words
    }
    said = next((remarks[base.__name__] for base in kind.__mro__ if base.__name__ in remarks), False)
    assert kind.retryable is said


FAULT = {
    "UsageError": (Cause.PACKAGE, ExitStatus.USAGE),
    "PackageError": (Cause.PACKAGE, ExitStatus.FOUND),
    "EnvironmentFault": (Cause.ENVIRONMENT, ExitStatus.FOUND),
    "NetworkError": (Cause.NETWORK, ExitStatus.INCONCLUSIVE),
    "ResourceError": (Cause.RESOURCE, ExitStatus.INCONCLUSIVE),
    "GuestMisbehaved": (Cause.PACKAGE, ExitStatus.INCONCLUSIVE),
    "InfrastructureError": (Cause.INFRASTRUCTURE, ExitStatus.INCONCLUSIVE),
    "PytiError": (Cause.INFRASTRUCTURE, ExitStatus.INCONCLUSIVE),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_branch_has_its_cause_and_exit_status(kind: type[PytiError]) -> None:
    expected = next(FAULT[base.__name__] for base in kind.__mro__ if base.__name__ in FAULT)
    assert (kind.cause, kind.exit_status) == expected


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_carries_its_message_and_remedy(kind: type[PytiError]) -> None:
    error = kind("the thing is broken", remedy="Mend it.")
    assert (str(error), error.message, error.remedy) == ("the thing is broken", "the thing is broken", "Mend it.")
    assert kind("alone").remedy == ""


def test_the_exit_statuses_are_those_that_are_documented() -> None:
    statuses = (
        ExitStatus.PASSED,
        ExitStatus.FOUND,
        ExitStatus.USAGE,
        ExitStatus.INCONCLUSIVE,
        ExitStatus.INTERRUPTED,
    )
    assert statuses == (0, 1, 2, 3, 130)
