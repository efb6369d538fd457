# SPDX-License-Identifier: Apache-2.0
"""Versions: which are offered, and from a URL or Accept header to the one that is spoken.

Stands before the token check, as clients look here before they have a token.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

from oslo_config import cfg

from glance_lite.api.wsgi import Reply, allow_reading, base_url, render

_MEDIA_TYPE = re.compile(r'application/vnd\.openstack\.images-(v\d+(?:\.\d+)?)')
_PREFIX = re.compile(r'/(v2(?:\.\d+)?)(?=/|$)')
_ALWAYS = ('v2.15', 'v2.9', 'v2.7', 'v2.6', 'v2.5', 'v2.4', 'v2.3', 'v2.2', 'v2.1', 'v2.0')
_WITH_STORES = ('v2.13', 'v2.12', 'v2.11', 'v2.10', 'v2.8')
_CURRENT = 'v2.17'
_IMPORT_VERSION = 'v2.6'
#: All that is left of v1, which is not on offer.
_OF_V1 = '/v1/images/detail'


class VersionGate:
    """Answers ``/``, ``/versions`` and the root of a version, which is where catalogues may lead
    clients; sends on what is for v2, under the prefix ``/v2``.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]], conf: cfg.ConfigOpts) -> None:
        self._app = app
        self._endpoint = conf.public_endpoint
        self._offered = offered(bool(conf.enabled_backends), conf.enable_image_import)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        path = environ.get('PATH_INFO', '')
        if (path.startswith('/v2/') and path != '/v2/') or path == _OF_V1:
            return self._app(environ, start_response)
        if path == '/v2':
            return allow_reading(self._redirect)(environ, start_response)
        if path == '/v2/' or path.rstrip('/') == '/versions':
            return self._ask(200, environ, start_response)
        rest = self._negotiate(path, environ.get('HTTP_ACCEPT', ''))
        if rest in ('', '/'):
            return self._ask(200, environ, start_response)
        if rest is None and path in ('', '/'):
            return self._ask(300, environ, start_response)
        if rest is None:
            return self._list(300, environ, start_response)
        environ['PATH_INFO'] = '/v2' + rest
        return self._app(environ, start_response)

    def _negotiate(self, path: str, accept: str) -> str | None:
        """Return the path below the version that the client means, None if there is no such."""
        by_path = _PREFIX.match(path)
        if by_path:
            return path[by_path.end() :] if by_path[1] in self._offered else None
        by_header = _MEDIA_TYPE.match(accept)
        if by_header and by_header[1] in ('v2', *self._offered):
            return path
        return None

    def _redirect(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        location = base_url(environ, self._endpoint) + '/v2/'
        return render(Reply(302, headers=[('Location', location)]), start_response)

    def _ask(
        self, status: int, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        show = functools.partial(self._list, status)
        return allow_reading(show)(environ, start_response)

    def _list(
        self, status: int, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        href = base_url(environ, self._endpoint) + '/v2/'
        versions = [
            {
                'id': version,
                'status': 'CURRENT' if version == _CURRENT else 'SUPPORTED',
                'links': [{'rel': 'self', 'href': href}],
            }
            for version in self._offered
        ]
        return render(Reply(status, {'versions': versions}), start_response)


def offered(several_stores: bool, import_enabled: bool) -> list[str]:
    """Return the versions on offer, the newest first.

    :param several_stores: whether stores are configured by id.
    """
    versions = {*_ALWAYS, _CURRENT, *(_WITH_STORES if several_stores else ())}
    if not import_enabled:
        versions.discard(_IMPORT_VERSION)
    return sorted(versions, key=lambda version: -int(version.partition('.')[2]))
