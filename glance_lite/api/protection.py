# SPDX-License-Identifier: Apache-2.0
"""What a caller may do with custom properties, where the operator protects some of them.

Without protection every function here costs nothing. A property that the caller may not read is
not there for them: not in answers, and no filter finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from glance_lite.api.wsgi import Request
from glance_lite.domain import image as domain
from glance_lite.property_protection import CREATE, DELETE, READ, UPDATE


def hide(request: Request, images: Iterable[domain.Image]) -> None:
    """Take from images the properties that the caller may not read, before they are shown."""
    if request.services.rules.protection is None:
        return
    readable: dict[str, bool] = {}
    for image in images:
        for name in list(image.properties):
            if name not in readable:
                readable[name] = may_read(request, name)
            if not readable[name]:
                del image.properties[name]


def may_read(request: Request, name: str) -> bool:
    """Tell whether the caller may read a property; those of the service everybody may."""
    protection = request.services.rules.protection
    if protection is None or name.startswith(domain.RESERVED_PREFIX):
        return True
    return protection.permits(READ, name, request.context, _passes(request))


def require_change(request: Request, image: domain.Image, op: str, name: str) -> None:
    """Raise unless the caller may make a change, as a patch names it, of a property of an image.

    Whether there is a property that they may not read is not told.

    :raises Forbidden: they may not.
    """
    protection = request.services.rules.protection
    if protection is None:
        return
    if op == 'remove':
        operation = DELETE
    else:
        operation = UPDATE if op == 'replace' or name in image.properties else CREATE
    protection.require(operation, name, request.context, _passes(request))


def _passes(request: Request) -> Callable[[str], bool]:
    return lambda rule: request.services.policy.allows(request.context, rule, {})
