# SPDX-License-Identifier: Apache-2.0
"""What is told about an operation. Statuses that follow from its route are not repeated there."""

from __future__ import annotations

import dataclasses
from typing import Any

from glance_lite.domain import task_query

JSON = 'application/json'
OCTETS = 'application/octet-stream'


@dataclasses.dataclass(frozen=True)
class Answer:
    """A success: ``schema`` names its JSON, ``media_type`` what is no JSON; with neither no body.

    ``headers`` are those of :data:`glance_lite.api.openapi.schemas.HEADERS` that it always has;
    ``links`` are operations that go on from here, with the place of the image's id in the answer.
    """

    meaning: str
    schema: str | None = None
    media_type: str | None = None
    headers: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Body:
    """What a request carries: from a media type to the schema of its JSON, None for bytes.

    ``example`` is one of the first media type that is in order.
    """

    content: dict[str, str | None]
    example: Any = None

    @property
    def is_json(self) -> bool:
        """Whether it is read as JSON, and so may be too long."""
        return None not in self.content.values()


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of the query, or a header of the request."""

    name: str
    meaning: str
    schema: dict[str, Any]
    place: str = 'query'
    explode: bool = False


WAIT = Parameter(
    'wait',
    'Answer when the status of an unfinished task changes, or after so many seconds.',
    {'type': 'integer', 'minimum': 0, 'maximum': task_query.MOST_WAIT_SECONDS, 'default': 0},
)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One method of one path.

    ``errors`` has statuses with their meaning, but for those of every operation (``EVERYWHERE``),
    404 under an image, 403 of what changes something and 413 of a long JSON body.
    """

    answers: dict[int, Answer]
    errors: dict[int, str] = dataclasses.field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None


#: From method and path to what is told about it.
Operations = dict[tuple[str, str], Operation]

#: Errors that every operation behind the token check may answer.
EVERYWHERE = {
    400: 'A field, a header or the body breaks a rule, which the message names.',
    401: 'The request has no valid token.',
    431: 'The header x-openstack-request-id is too long.',
    503: 'A service that is needed (database, identity, store) is away; try again.',
}
NO_IMAGE = 'There is no such image that the caller can see.'
NOT_ALLOWED = 'The caller may not do this, or the image does not allow it.'
TOO_LONG = 'The body is longer than max_json_body_size, or a limit would be passed.'


def statuses(method: str, path: str, operation: Operation) -> dict[int, str]:
    """Return every status that an operation may answer, with its meaning."""
    found = {status: answer.meaning for status, answer in operation.answers.items()}
    found.update(EVERYWHERE)
    if '{image_id}' in path:
        found[404] = NO_IMAGE
    if method != 'GET':
        found[403] = NOT_ALLOWED
    if operation.body is not None and operation.body.is_json:
        found[413] = TOO_LONG
    found.update(operation.errors)
    return dict(sorted(found.items()))
