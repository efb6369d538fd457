# SPDX-License-Identifier: Apache-2.0
"""The schema of a member, and those of the requests that write one."""

from __future__ import annotations

from typing import Any

from glance_lite.api.schemas import validation
from glance_lite.api.schemas.images import UUID
from glance_lite.domain.image_rules import NAME_LENGTH
from glance_lite.domain.member import STATUSES

_STATUS = {'type': 'string', 'enum': [*STATUSES]}
_TIME = {'type': 'string', 'format': 'date-time'}

MEMBER: dict[str, Any] = {
    'name': 'member',
    'properties': {
        'member_id': {
            'type': 'string',
            'description': 'The project with which the image is shared.',
        },
        'image_id': {
            'type': 'string',
            'pattern': UUID,
            'description': 'The image that is shared.',
        },
        'status': {**_STATUS, 'description': 'What the member has answered.'},
        'created_at': {**_TIME, 'description': 'When the image was shared, in UTC.'},
        'updated_at': {**_TIME, 'description': 'When the status was last set, in UTC.'},
        'schema': {'type': 'string', 'readOnly': True},
    },
}

#: What a request to share an image says; other members of the object are ignored.
ADDING = validation.make_validator(
    {
        'type': 'object',
        'properties': {'member': {'type': 'string', 'minLength': 1, 'maxLength': NAME_LENGTH}},
        'required': ['member'],
    }
)
#: What a member answers; other members of the object are ignored.
ANSWERING = validation.make_validator(
    {'type': 'object', 'properties': {'status': _STATUS}, 'required': ['status']}
)
