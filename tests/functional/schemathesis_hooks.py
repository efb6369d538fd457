# SPDX-License-Identifier: Apache-2.0
"""What schemathesis is told beside the OpenAPI document: both kinds of patches are JSON."""

import schemathesis

for version in ('v2.0', 'v2.1'):
    schemathesis.serializer.alias(
        f'application/openstack-images-{version}-json-patch', 'application/json'
    )
