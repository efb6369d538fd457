# SPDX-License-Identifier: Apache-2.0
"""From an exception to status, code and message: the one place where HTTP statuses are chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

from oslo_db import exception as db_exception

from glance_lite import exceptions
from glance_lite.db import trouble
from glance_lite.db.trouble import Trouble

#: The first class that fits decides, so that a subclass stands before its base.
STATUSES: tuple[tuple[type[exceptions.GlanceLiteError], int], ...] = (
    (exceptions.InvalidRequest, 400),
    (exceptions.Unauthorized, 401),
    (exceptions.Forbidden, 403),
    (exceptions.NotFound, 404),
    (exceptions.Conflict, 409),
    (exceptions.Gone, 410),
    (exceptions.LimitExceeded, 413),
    (exceptions.StoreFull, 413),
    (exceptions.UnsupportedMediaType, 415),
    (exceptions.RangeNotSatisfiable, 416),
    (exceptions.HeaderTooLong, 431),
    (exceptions.ServiceUnavailable, 503),
    (exceptions.StoreError, 503),
)
#: Reasons of a refused import or upload that are about the content, not about the request.
CONTENT_CODES = frozenset({'format_mismatch', 'unsafe_image'})
#: What a client is told when the database has trouble.
TROUBLES = {
    Trouble.AWAY: 'The database does not answer; try again.',
    Trouble.BUSY: 'The database is busy; try again.',
    Trouble.FULL: 'The database has no space left; try again later.',
}
RETRY_SECONDS = 5


class MethodNotAllowed(exceptions.GlanceLiteError):
    """The path exists, the method does not; ``allowed`` has those that do."""

    code = 'method_not_allowed'

    def __init__(self, method: str, allowed: list[str]) -> None:
        super().__init__(f'The method {method} is not allowed here; allowed: {", ".join(allowed)}.')
        self.allowed = allowed


class UnknownMethod(exceptions.GlanceLiteError):
    """No resource of the service has this method."""

    code = 'unknown_method'


class WrongPatchType(exceptions.UnsupportedMediaType):
    """A PATCH of another media type than those in ``accepted``."""

    def __init__(self, message: str, accepted: tuple[str, ...]) -> None:
        super().__init__(message)
        self.accepted = accepted


class IncompleteBody(exceptions.InvalidRequest):
    """The client left, paused too long or broke the coding before its body was complete."""

    code = 'incomplete_body'


@dataclasses.dataclass(frozen=True)
class Answer:
    """What an exception becomes; ``cause`` is what the log says of it."""

    status: int
    code: str
    message: str
    headers: list[tuple[str, str]]
    cause: str | None = None


def describe(error: Exception) -> Answer | None:
    """Return the answer that an exception stands for; None for a fault of the service."""
    if isinstance(error, exceptions.GlanceLiteError):
        status = _status(error)
        if status is not None:
            return Answer(status, error.code, error.message, _headers(error, status))
    if isinstance(error, db_exception.DBDuplicateEntry):
        return Answer(
            409,
            'conflict',
            'Two names are the same to the database, or another request was quicker.',
            [],
        )
    found = trouble.trouble_of(error)
    return None if found is None else _in_trouble(error, found)


def _in_trouble(error: Exception, found: Trouble) -> Answer:
    message = TROUBLES[found]
    if isinstance(error, trouble.CommitUnknown):
        message = (
            'The database went away before it said whether the change was made; look before you '
            'try again.'
        )
    retry = [('Retry-After', str(RETRY_SECONDS))]
    return Answer(503, 'service_unavailable', message, retry, trouble.said(error))


def _status(error: exceptions.GlanceLiteError) -> int | None:
    if isinstance(error, MethodNotAllowed):
        return 405
    if isinstance(error, UnknownMethod):
        return 501
    if isinstance(error, exceptions.ImportFailed):
        return 415 if error.code in CONTENT_CODES else 400
    return next((status for kind, status in STATUSES if isinstance(error, kind)), None)


def _headers(error: Any, status: int) -> list[tuple[str, str]]:
    if isinstance(error, MethodNotAllowed):
        return [('Allow', ', '.join(error.allowed))]
    if isinstance(error, WrongPatchType):
        return [('Accept-Patch', ', '.join(error.accepted))]
    if isinstance(error, exceptions.RangeNotSatisfiable):
        return [('Content-Range', f'bytes */{error.size}')]
    return [('Retry-After', str(RETRY_SECONDS))] if status == 503 else []
