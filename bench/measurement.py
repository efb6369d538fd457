# SPDX-License-Identifier: Apache-2.0
"""What all measurements share: the setting they run in, and a meter for seconds and CPU seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from http_client import Client
from payload import Payload
from processes import ServiceProcesses


class Service(Protocol):
    """A service under measurement, started."""

    name: str
    key: str
    port: int
    token: str
    processes: ServiceProcesses

    def client(self, timeout_seconds: float = 600) -> Client:
        """Return a client of this service."""


@dataclass(frozen=True)
class Setting:
    """The data and the sources that every measurement uses."""

    payload: Payload
    small: Payload
    source_url: str
    small_url: str


class Meter:
    """Seconds by the clock and CPU seconds of a service inside a ``with`` block."""

    def __init__(self, service: Service) -> None:
        self._processes = service.processes
        self.seconds = 0.0
        self.cpu_seconds = 0.0

    def __enter__(self) -> Meter:
        self._cpu_before = self._processes.cpu_seconds()
        self._before = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._before
        self.cpu_seconds = self._processes.cpu_seconds() - self._cpu_before


class WrongData(Exception):
    """A service stored or returned other bytes than it was given."""


def same_digest(service: Service, what: str, expected: str, found: str | None) -> None:
    """Compare two SHA-512 digests.

    :raises WrongData: when they differ.
    """
    if expected != found:
        raise WrongData(f'{service.name}: {what} has sha512 {found}, not {expected}')
