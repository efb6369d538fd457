# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, each with a stable code and a sentence that is safe to show.

HTTP statuses are not here: ``api/errors.py`` maps each class once. A message never holds a host
path, a secret or a traceback; the operator's log has the rest.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar


class GlanceLiteError(Exception):
    """Base of every error of ours; ``str()`` of it may be shown to the user."""

    code: ClassVar[str] = 'internal_error'

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(GlanceLiteError):
    """The configuration cannot be used; a program that starts says so and exits."""

    code = 'config_error'


class InvalidRequest(GlanceLiteError):
    """The request breaks a rule; the message names the field and the rule."""

    code = 'invalid_request'


class Unauthorized(GlanceLiteError):
    """No identity was established for the request."""

    code = 'unauthorized'


class Forbidden(GlanceLiteError):
    """The caller can see the resource, but may not do this with it."""

    code = 'forbidden'


class NotFound(GlanceLiteError):
    """The resource does not exist or the caller cannot see it."""

    code = 'not_found'


class ImageNotFound(NotFound):
    """There is no such image for this caller."""

    code = 'image_not_found'

    def __init__(self, image_id: str) -> None:
        super().__init__(f'No image found with id {image_id}.')


class MemberNotFound(NotFound):
    """The image is not shared with the project, as far as this caller sees."""

    code = 'member_not_found'

    def __init__(self, image_id: str, member_id: str) -> None:
        super().__init__(f"Image {image_id} has no member '{member_id}'.")


class TagNotFound(NotFound):
    """The image does not have the tag."""

    code = 'tag_not_found'

    def __init__(self, image_id: str, value: str) -> None:
        super().__init__(f"Image {image_id} does not have the tag '{value}'.")


class LocationNotFound(NotFound):
    """The store has no data of the image."""

    code = 'location_not_found'

    def __init__(self, image_id: str, store_id: str) -> None:
        super().__init__(f'Image {image_id} has no data in the store {store_id}.')


class TaskNotFound(NotFound):
    """There is no such task for this caller."""

    code = 'task_not_found'

    def __init__(self, task_id: str) -> None:
        super().__init__(f'No task found with id {task_id}.')


class StoreNotFound(NotFound):
    """A store id is not configured here."""

    code = 'store_not_found'


class FeatureDisabled(NotFound):
    """The deployer has switched this call off."""

    code = 'not_supported_here'


class Conflict(GlanceLiteError):
    """The state of the resource does not allow this now."""

    code = 'conflict'


class StatusConflict(Conflict):
    """The image's status changed, or does not allow this."""

    code = 'status_conflict'


class ImageExists(Conflict):
    """The image id is taken, now or by a deleted image."""

    code = 'image_exists'


class MemberExists(Conflict):
    """The image is shared with the project already."""

    code = 'member_exists'


class ImportRunning(Conflict):
    """Another import of the image is running."""

    code = 'import_running'


class Gone(GlanceLiteError):
    """The image was deleted while the request ran."""

    code = 'gone'


class LimitExceeded(GlanceLiteError):
    """A quota or a size limit would be exceeded."""

    code = 'limit_exceeded'


class UnsupportedMediaType(GlanceLiteError):
    """The body's type is not taken here, or its content is not what was declared."""

    code = 'unsupported_media_type'


class RangeNotSatisfiable(GlanceLiteError):
    """The range lies outside the image data; ``size`` is its length in bytes."""

    code = 'range_not_satisfiable'

    def __init__(self, message: str, size: int) -> None:
        super().__init__(message)
        self.size = size


class HeaderTooLong(GlanceLiteError):
    """A request header is longer than its limit."""

    code = 'header_too_long'


class ServiceUnavailable(GlanceLiteError):
    """Something that the request needs is out of order; trying again later may help."""

    code = 'service_unavailable'


class StoreError(GlanceLiteError):
    """A store could not do what was asked."""

    code = 'store_failed'


class StoreFull(StoreError):
    """A store, or the staging area, has no space left."""

    code = 'no_space'


class StoreDataNotFound(StoreError):
    """A store has no data under a location."""

    code = 'data_not_found'


class LeaseLost(BaseException):
    """This process no longer owns the job that it runs.

    Not an ``Exception``: TaskFlow must neither record nor revert anything for it, as another
    conductor has taken the flow over.
    """


class AttemptInterrupted(LeaseLost):
    """The database went away under an attempt: give the import back, for nobody's fault."""


class ImportCancelled(GlanceLiteError):
    """The import was cancelled by its owner or by deleting its image."""

    code = 'cancelled'


@dataclasses.dataclass(frozen=True)
class ImportErrorKind:
    """What an import error code means.

    ``refused`` tells that the content itself was refused: the staged bytes go and the image returns
    to ``queued``. ``retryable`` tells whether the same request may succeed later.
    """

    refused: bool
    retryable: bool
    meaning: str


#: The published error codes of an import (doc: reference/error-codes).
IMPORT_ERRORS: dict[str, ImportErrorKind] = {
    'filtered_uri': ImportErrorKind(True, False, 'The URI, or a redirect of it, is not permitted.'),
    'source_unreachable': ImportErrorKind(False, True, 'No connection to the source.'),
    'source_timeout': ImportErrorKind(False, True, 'The source stopped sending.'),
    'source_http_error': ImportErrorKind(False, True, 'The source answered with an error status.'),
    'source_changed': ImportErrorKind(False, True, 'The source changed during the download.'),
    'source_truncated': ImportErrorKind(False, True, 'The source sent less than it announced.'),
    'tls_error': ImportErrorKind(False, True, 'The certificate of the source was not accepted.'),
    'too_large': ImportErrorKind(True, False, 'The image is larger than a limit.'),
    'quota_exceeded': ImportErrorKind(False, True, 'A quota of the project is used up.'),
    'not_permitted': ImportErrorKind(False, True, 'The policy of the service refuses the image.'),
    'format_mismatch': ImportErrorKind(True, False, 'The content is not of the declared format.'),
    'unsafe_image': ImportErrorKind(True, False, 'The content failed a safety check.'),
    'checksum_mismatch': ImportErrorKind(True, False, 'The content has another hash.'),
    'plugin_rejected': ImportErrorKind(True, False, 'An import plugin refused the image.'),
    'plugin_failed': ImportErrorKind(False, True, 'An import plugin failed.'),
    'plugin_missing': ImportErrorKind(False, True, 'A plugin of this import is not installed.'),
    'no_space': ImportErrorKind(False, True, 'A store or the staging area is full.'),
    'store_failed': ImportErrorKind(False, True, 'A store could not take the data.'),
    'staging_unreachable': ImportErrorKind(
        True, False, 'The staged data cannot be reached any more; stage it again.'
    ),
    'cancelled': ImportErrorKind(False, True, 'The import was cancelled.'),
    'lost_worker': ImportErrorKind(False, True, 'The conductors that ran the import went away.'),
    'deadline_exceeded': ImportErrorKind(False, True, 'The import took longer than permitted.'),
    'stalled': ImportErrorKind(False, True, 'The import stood still for longer than permitted.'),
    'internal_error': ImportErrorKind(False, True, 'A fault of the service; see its log.'),
}


class ImportFailed(GlanceLiteError):
    """An import failed for a published reason.

    :param code: a key of :data:`IMPORT_ERRORS`.
    :param message: one sentence that is safe to show.
    :param retryable: overrides the code's own value (a 404 of a source does not pass by itself).
    """

    def __init__(self, code: str, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(message)
        kind = IMPORT_ERRORS[code]
        self.code = code  # type: ignore[misc]
        self.refused = kind.refused
        self.retryable = kind.retryable if retryable is None else retryable


class ImageRejected(ImportFailed):
    """Raised by an import plugin: the content is refused, with the reason for the owner."""

    def __init__(self, message: str) -> None:
        super().__init__('plugin_rejected', message)
