# SPDX-License-Identifier: Apache-2.0
"""The operations that tell what the service is and offers."""

from __future__ import annotations

from glance_lite.api.openapi.model import Answer, Operation, Operations

OPERATIONS: Operations = {
    ('GET', '/v2/info/import'): Operation({200: Answer('The import methods.', 'ImportMethods')}),
    ('GET', '/v2/info/stores'): Operation({200: Answer('The stores.', 'Stores')}),
    ('GET', '/v2/info/stores/detail'): Operation(
        {200: Answer('The stores with their properties.', 'StoresDetail')},
        {403: 'Only administrators and services see this.'},
    ),
    ('GET', '/v2/info/usage'): Operation(
        {200: Answer('What the project has, and what it may have.', 'Usage')}
    ),
    ('GET', '/v2/schemas/{name}'): Operation(
        {200: Answer('A JSON schema.', 'Anything')}, {404: 'There is no such schema.'}
    ),
    ('GET', '/v2/openapi.json'): Operation({200: Answer('This document.', 'Anything')}),
}

#: What is answered before a token is asked for, with all its statuses.
OUTSIDE_THE_TABLE: Operations = {
    ('GET', '/'): Operation({300: Answer('The versions on offer.', 'Versions')}),
    ('GET', '/versions'): Operation({200: Answer('The versions on offer.', 'Versions')}),
    ('GET', '/healthcheck'): Operation(
        {200: Answer('The service is well.', media_type='text/plain')},
        {503: 'The operator took this host out.'},
    ),
}
