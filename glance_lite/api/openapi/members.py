# SPDX-License-Identifier: Apache-2.0
"""The operations of the members of an image."""

from __future__ import annotations

from glance_lite.api.openapi.model import JSON, Answer, Body, Operation, Operations

_NOT_SHARED = 'The visibility of the image is not shared, or the caller may not do this.'
_NO_MEMBER = 'There is no such image or no such member that the caller can see.'

OPERATIONS: Operations = {
    ('GET', '/v2/images/{image_id}/members'): Operation(
        {200: Answer('The members that the caller sees.', 'Members')}, {403: _NOT_SHARED}
    ),
    ('POST', '/v2/images/{image_id}/members'): Operation(
        {200: Answer('The new member, pending.', 'Member')},
        {403: _NOT_SHARED, 409: 'It is a member already.'},
        body=Body({JSON: 'NewMember'}, {'member': '8989447062e04a818baf9e073fd04fa7'}),
    ),
    ('GET', '/v2/images/{image_id}/members/{member_id}'): Operation(
        {200: Answer('The member.', 'Member')}, {404: _NO_MEMBER}
    ),
    ('PUT', '/v2/images/{image_id}/members/{member_id}'): Operation(
        {200: Answer('The member as it is now.', 'Member')},
        {403: _NOT_SHARED, 404: _NO_MEMBER},
        body=Body({JSON: 'MemberAnswer'}, {'status': 'accepted'}),
    ),
    ('DELETE', '/v2/images/{image_id}/members/{member_id}'): Operation(
        {204: Answer('The image is not shared with it.')}, {403: _NOT_SHARED, 404: _NO_MEMBER}
    ),
}
