# SPDX-License-Identifier: Apache-2.0
"""What can go wrong for a user of the client, each as one sentence without a traceback."""

from __future__ import annotations


class ClientError(Exception):
    """Something that the user has to know; ``str()`` of it is the sentence to show.

    :param temporary: the same call may work in a moment (no connection, 502, 503, 504).
    """

    exit_status = 1

    def __init__(self, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.temporary = temporary


class UsageError(ClientError):
    """The command line cannot be followed; nothing was changed in the service."""

    exit_status = 2


class ServiceRefused(ClientError):
    """The service answered with an error status.

    ``status`` is the HTTP status, ``code`` the service's own word for the error (or None) and
    ``request_id`` what its operator can look for in the log (or None).
    """

    def __init__(
        self, message: str, status: int, code: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message, temporary=status in (502, 503, 504))
        self.status = status
        self.code = code
        self.request_id = request_id
