# SPDX-License-Identifier: Apache-2.0
"""The calls of the Images API that an import needs, each checked for its status.

openstacksdk brings identity, discovery and the connection. Its own ``import_image`` does not look
at the status of the answer and knows nothing of ``validation_data``, so the requests are made here.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Protocol

from glance_lite.client import text
from glance_lite.client.errors import ClientError, ServiceRefused, UsageError
from glance_lite.client.upload import FileUpload

TASK_HEADER = 'OpenStack-image-import-task-id'
METHODS_HEADER = 'OpenStack-image-import-methods'


class Session(Protocol):
    """What is needed of an openstacksdk proxy (``connection.image``) or a keystoneauth adapter."""

    def request(self, url: str, method: str, **kwargs: Any) -> Any:
        """Send a request and return an answer like that of ``requests``."""


def connect(endpoint: str | None = None, cloud: str | None = None) -> ImageService:
    """Return the image service of a cloud, or of ``endpoint`` when it works without identity.

    :param endpoint: base URL of a service that asks for no token.
    :param cloud: a name in clouds.yaml; None: what the ``OS_*`` variables say.
    :raises UsageError: if the configuration of the cloud is not complete.
    """
    try:
        import openstack
        from keystoneauth1 import exceptions as auth_errors
    except ImportError:
        raise UsageError(
            "openstacksdk is missing: install glance_lite with its client extra, "
            "pip install 'glance_lite[client]'."
        ) from None
    try:
        if endpoint:
            connection = openstack.connect(
                auth_type='none',
                endpoint=_base_url(endpoint),
                load_yaml_config=False,
                load_envvars=False,
                app_name='glance-lite',
            )
        else:
            connection = openstack.connect(cloud=cloud, app_name='glance-lite')
        return ImageService(connection.image)
    except auth_errors.OptionError as problem:
        raise UsageError(
            f'No cloud is chosen ({text.clean(problem)}): set the OS_* variables, name one of '
            'clouds.yaml with --os-cloud, or give --endpoint URL.'
        ) from None
    except openstack.exceptions.ConfigException as problem:
        raise UsageError(f'This cloud cannot be used: {text.clean(problem)}') from None
    except Exception as problem:
        raise _unreachable(problem) from problem


class ImageService:
    """An image service at the other end of an authorised session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: Import methods that the service offers, known after :meth:`create_image`; or None.
        self.methods: list[str] | None = None

    def create_image(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Make an image record without data and return it (``POST /v2/images``)."""
        answer = self._call('POST', '/images', (201,), json=dict(attributes))
        offered = answer.headers.get(METHODS_HEADER)
        self.methods = offered.split(',') if offered else None
        return _document(answer)

    def delete_image(self, image_id: str) -> None:
        """Delete an image (``DELETE /v2/images/<id>``)."""
        self._call('DELETE', f'/images/{image_id}', (204,))

    def get_image(self, image_id: str) -> dict[str, Any]:
        """Return an image record (``GET /v2/images/<id>``)."""
        return _document(self._call('GET', f'/images/{image_id}', (200,)))

    def find_image(self, name_or_id: str) -> dict[str, Any]:
        """Return the image of an id, or the one image of a name.

        :raises UsageError: if there is none, or several have the name.
        """
        try:
            return self.get_image(urllib.parse.quote(name_or_id, safe=''))
        except ServiceRefused as refusal:
            if refusal.status not in (400, 404):
                raise
        query = urllib.parse.urlencode({'name': f'in:"{name_or_id}"', 'limit': 2})
        found = _document(self._call('GET', f'/images?{query}', (200,))).get('images', [])
        if not found:
            raise UsageError(f'There is no image with the id or name {text.clean(name_or_id)}.')
        if len(found) > 1:
            raise UsageError(f'Several images are named {text.clean(name_or_id)}: give the id.')
        return dict(found[0])

    def list_stores(self) -> list[str]:
        """Return the ids of the service's stores (``GET /v2/info/stores``)."""
        answer = _document(self._call('GET', '/info/stores', (200,)))
        return [str(store['id']) for store in answer.get('stores', [])]

    def list_tasks(self, image_id: str) -> list[dict[str, Any]]:
        """Return the tasks of an image (``GET /v2/images/<id>/tasks``)."""
        answer = _document(self._call('GET', f'/images/{image_id}/tasks', (200,)))
        return list(answer.get('tasks', []))

    def stage(self, image_id: str, upload: FileUpload) -> None:
        """Send the data of an image to staging (``PUT /v2/images/<id>/stage``)."""
        headers = {
            'Content-Type': 'application/octet-stream',
            'X-OpenStack-Image-Size': str(upload.size),
        }
        self._call('PUT', f'/images/{image_id}/stage', (204,), data=upload, headers=headers)

    def start_import(self, image_id: str, request: Mapping[str, Any]) -> str | None:
        """Ask for the import (``POST /v2/images/<id>/import``).

        :returns: the id of its task, or None where the service does not tell it.
        """
        answer = self._call('POST', f'/images/{image_id}/import', (202,), json=dict(request))
        return answer.headers.get(TASK_HEADER)

    def _call(self, method: str, path: str, expected: tuple[int, ...], **kwargs: Any) -> Any:
        headers = {'Accept': 'application/json', **kwargs.pop('headers', {})}
        try:
            answer = self._session.request(path, method, headers=headers, raise_exc=False, **kwargs)
        except EOFError as problem:
            raise ClientError(str(problem)) from None
        except Exception as problem:
            raise _unreachable(problem) from problem
        if answer.status_code not in expected:
            raise _refusal(answer)
        return answer


def _base_url(endpoint: str) -> str:
    """Return where the versions are listed, also for somebody who names the API's own path."""
    parts = urllib.parse.urlsplit(endpoint)
    if parts.scheme not in ('http', 'https') or not parts.hostname:
        raise UsageError('--endpoint must be a URL such as http://127.0.0.1:9292.')
    return endpoint.rstrip('/').removesuffix('/v2')


def _document(answer: Any) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ClientError('The service answered with something that is not a JSON object.')
    return document


def _refusal(answer: Any) -> ServiceRefused:
    """Turn an error answer into a sentence, whether its body is JSON, HTML or plain text."""
    request_id = answer.headers.get('x-openstack-request-id')
    code = None
    try:
        body = answer.json()
        told = body.get('error', body)  # of this service, or of Glance
        message = text.without_markup(str(told['message']))
        if told is not body:
            code, request_id = told.get('code'), request_id or told.get('request_id')
    except (ValueError, KeyError, TypeError, AttributeError):
        message = text.without_markup(answer.text)
    message = message or text.clean(answer.reason or 'no reason given')
    wait = answer.headers.get('Retry-After')
    if wait:
        message += f' Try again in {text.clean(wait)} seconds.'
    return ServiceRefused(message, answer.status_code, code, request_id)


def _unreachable(problem: Exception) -> ClientError:
    """Turn what openstacksdk, keystoneauth or requests raised into a sentence.

    :raises Exception: ``problem`` itself, if it is none of theirs.
    """
    import openstack.exceptions
    import requests
    from keystoneauth1 import exceptions as auth_errors

    if isinstance(problem, (auth_errors.ConnectFailure, auth_errors.DiscoveryFailure)):
        return ClientError(
            f'The image service cannot be reached: {text.clean(problem)}', temporary=True
        )
    if isinstance(problem, (auth_errors.Unauthorized, auth_errors.MissingRequiredOptions)):
        return UsageError(f'The cloud did not accept the credentials: {text.clean(problem)}')
    if isinstance(problem, (auth_errors.ClientException, openstack.exceptions.SDKException)):
        return ClientError(f'The request failed: {text.clean(problem)}')
    if isinstance(problem, (requests.RequestException, OSError)):
        return ClientError(f'The connection broke: {text.clean(problem)}', temporary=True)
    raise problem
