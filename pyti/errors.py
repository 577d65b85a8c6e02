"""One error tree; the class of an error says who is at fault and whether trying again can help.

::

    PytiError
    ├── UsageError                      the request itself is wrong: exit status 2
    │   ├── ConfigError                 a setting is unknown, malformed or out of range
    │   ├── NoSuchDistribution          no such project, version or file on the index
    │   └── NoSuchJob                   no job has that id
    ├── PackageError                    the distribution is at fault
    │   ├── MalformedArchive            not an archive, or one that must not be opened
    │   └── ResolutionImpossible        no set of releases satisfies the requirements
    ├── EnvironmentFault                the guest lacks what the distribution may rightly expect
    ├── NetworkError                    the index or the way to it failed (retryable)
    │   ├── IndexUnavailable            no usable answer within the limits
    │   └── IndexLied                   an answer contradicts itself (not retryable)
    │       ├── HashMismatch
    │       └── TruncatedDownload       fewer bytes than announced (retryable)
    ├── ResourceError                   a bound was reached: space, memory, size (not retryable)
    │   ├── TooLarge
    │   ├── OutOfSpace
    │   └── TimeLimitExceeded           a time limit ended the work; never an ordinary failure
    └── InfrastructureError             PyTI's own parts failed (retryable)
        ├── BusError                    the message bus
        │   ├── BusDisconnected
        │   ├── Unroutable
        │   ├── PublishRefused
        │   ├── UnknownMessage          (not retryable)
        │   ├── InvalidMessage          (not retryable)
        │   └── RequestTimeout
        ├── MachineError                a virtual machine or its driver
        │   ├── ImageMissing            (not retryable)
        │   ├── ImageDamaged            (not retryable)
        │   ├── HypervisorUnavailable   (not retryable)
        │   └── LeftBehind              a destroyed machine was found to have left something
        ├── RawDataError                the stream between slave and guest
        │   ├── GuestUnreachable
        │   └── GuestMisbehaved         what the guest sent breaks the contract (not retryable)
        └── StoreError                  the database or the blob store

Every error has a message that names the thing, and, where the user can do something, a ``remedy``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "BusDisconnected",
    "BusError",
    "Cause",
    "ConfigError",
    "EnvironmentFault",
    "ExitStatus",
    "GuestMisbehaved",
    "GuestUnreachable",
    "HashMismatch",
    "HypervisorUnavailable",
    "ImageDamaged",
    "ImageMissing",
    "IndexLied",
    "IndexUnavailable",
    "InfrastructureError",
    "InvalidMessage",
    "LeftBehind",
    "MachineError",
    "MalformedArchive",
    "NetworkError",
    "NoSuchDistribution",
    "NoSuchJob",
    "OutOfSpace",
    "PackageError",
    "PublishRefused",
    "PytiError",
    "RawDataError",
    "RequestTimeout",
    "ResolutionImpossible",
    "ResourceError",
    "StoreError",
    "TimeLimitExceeded",
    "TooLarge",
    "TruncatedDownload",
    "UnknownMessage",
    "Unroutable",
    "UsageError",
]


class Cause(StrEnum):
    """Who is at fault when something did not pass."""

    PACKAGE = "package"
    ENVIRONMENT = "environment"
    NETWORK = "network"
    RESOURCE = "resource"
    INFRASTRUCTURE = "infrastructure"


class ExitStatus:
    """The documented exit statuses of the ``pyti`` command."""

    PASSED: ClassVar[int] = 0
    FOUND: ClassVar[int] = 1
    USAGE: ClassVar[int] = 2
    INCONCLUSIVE: ClassVar[int] = 3
    INTERRUPTED: ClassVar[int] = 130


class PytiError(Exception):
    """The base of every error that PyTI raises on purpose.

    ``remedy`` is a sentence that tells the user what to do, or an empty string.
    """

    cause: ClassVar[Cause] = Cause.INFRASTRUCTURE
    retryable: ClassVar[bool] = False
    exit_status: ClassVar[int] = ExitStatus.INCONCLUSIVE

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageError(PytiError):
    """The request itself is wrong; nothing was started."""

    cause = Cause.PACKAGE
    exit_status = ExitStatus.USAGE


class ConfigError(UsageError):
    """A setting is unknown, malformed or out of range."""


class NoSuchDistribution(UsageError):
    """The index has no such project, version or file, or none that may be chosen."""


class NoSuchJob(UsageError):
    """No job has that id."""


class PackageError(PytiError):
    """The distribution is at fault."""

    cause = Cause.PACKAGE
    exit_status = ExitStatus.FOUND


class MalformedArchive(PackageError):
    """The file is not the archive that its name promises, or one that must not be opened."""


class ResolutionImpossible(PackageError):
    """No set of releases satisfies the requirements; the message carries the resolver's explanation."""


class EnvironmentFault(PytiError):
    """The guest lacks something that the distribution may rightly expect."""

    cause = Cause.ENVIRONMENT
    exit_status = ExitStatus.FOUND


class NetworkError(PytiError):
    """The index, or the way to it, failed."""

    cause = Cause.NETWORK
    retryable = True


class IndexUnavailable(NetworkError):
    """The index gave no usable answer within the limits."""


class IndexLied(NetworkError):
    """An answer of the index contradicts itself or what was asked."""

    retryable = False


class HashMismatch(IndexLied):
    """The downloaded bytes do not have the announced hash."""


class TruncatedDownload(IndexLied):
    """Fewer bytes arrived than were announced."""

    retryable = True


class ResourceError(PytiError):
    """A bound on space, memory, size or time was reached."""

    cause = Cause.RESOURCE


class TooLarge(ResourceError):
    """Something is larger than its configured bound."""


class OutOfSpace(ResourceError):
    """The disk is full, or would be."""


class TimeLimitExceeded(ResourceError):
    """A time limit ended the work; reported as a timeout, never as an ordinary failure."""


class InfrastructureError(PytiError):
    """PyTI's own parts failed; the distribution is not to blame."""

    retryable = True


class BusError(InfrastructureError):
    """The message bus failed."""


class BusDisconnected(BusError):
    """There is no connection to the broker now."""


class Unroutable(BusError):
    """No queue takes messages with this routing key."""


class PublishRefused(BusError):
    """The broker did not take a message: a queue is full, or the user may not publish there."""


class UnknownMessage(BusError):
    """No message is registered under this name and version."""

    retryable = False


class InvalidMessage(BusError):
    """A message's body does not decode, or breaks its bounds."""

    retryable = False


class RequestTimeout(BusError):
    """A request got no reply within its time limit."""


class MachineError(InfrastructureError):
    """A virtual machine or its driver failed."""


class ImageMissing(MachineError):
    """No image of that name was built here."""

    retryable = False


class ImageDamaged(MachineError):
    """An image's files do not match its manifest."""

    retryable = False


class HypervisorUnavailable(MachineError):
    """libvirt or QEMU cannot be reached or used."""

    retryable = False


class LeftBehind(MachineError):
    """A destroyed machine was found to have left something."""


class RawDataError(InfrastructureError):
    """The stream between slave and guest failed."""


class GuestUnreachable(RawDataError):
    """The guest does not answer on its port."""


class GuestMisbehaved(RawDataError):
    """What the guest sent breaks the raw data contract; only its own job suffers."""

    cause = Cause.PACKAGE
    retryable = False


class StoreError(InfrastructureError):
    """The database or the blob store failed."""
