# SPDX-License-Identifier: Apache-2.0
"""What a caller is told while tokens, or the rules about them, cannot be judged."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import pytest
import webob
from oslo_config import cfg

from glance_lite import deploy, exceptions
from glance_lite.context import RequestContext
from glance_lite.middleware import fault, identity
from glance_lite.middleware.context import ContextMiddleware

MakeConf = Callable[..., cfg.ConfigOpts]


@pytest.mark.parametrize('more', ['www_authenticate_uri = http://keystone.example.org\n', ''])
@pytest.mark.parametrize('anonymous', ['false', 'true'])
def test_a_token_that_cannot_be_checked_is_not_called_wrong(
    make_conf: MakeConf, more: str, anonymous: str
) -> None:
    with contextlib.closing(socket.create_server(('127.0.0.1', 0))) as listener:
        port = listener.getsockname()[1]
    conf = make_conf(
        f'[DEFAULT]\nallow_anonymous_access = {anonymous}\n[paste_deploy]\nflavor = keystone\n'
        f'[keystone_authtoken]\nauth_url = http://127.0.0.1:{port}\nauth_type = password\n'
        'username = glance\npassword = x\nproject_name = service\nuser_domain_id = default\n'
        f'project_domain_id = default\nhttp_request_max_retries = 0\n{more}'
    )
    app = deploy.loadapp(conf)
    assert conf[identity.GROUP].http_connect_timeout == identity.KEYSTONE_TIMEOUT_SECONDS
    answer = webob.Request.blank('/v2/images', headers={'X-Auth-Token': 'x'}).get_response(app)
    assert answer.status_int == 503
    assert answer.headers['Retry-After'] == str(fault.RETRY_SECONDS)
    assert answer.json['error']['code'] == 'service_unavailable'
    assert 'X-Openstack-Request-Id' in answer.headers and str(port) not in answer.text
    without = webob.Request.blank('/v2/images').get_response(app)
    assert without.status_int == (200 if anonymous == 'true' else 401)


@pytest.mark.parametrize(
    ('lines', 'words'),
    [
        ('auth_url = http://127.0.0.1:9\n', 'auth_type'),
        ('auth_type = password\nusername = glance\n', 'auth_url'),
        ('auth_type = passwort\nauth_url = http://127.0.0.1:9\n', 'passwort'),
    ],
)
def test_options_that_do_not_say_how_to_ask_keystone_stop_the_start(
    make_conf: MakeConf, lines: str, words: str
) -> None:
    conf = make_conf(f'[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\n{lines}')
    with pytest.raises(exceptions.ConfigError, match=words) as caught:
        deploy.loadapp(conf)
    assert 'keystone_authtoken' in str(caught.value)


def test_rules_that_cannot_be_read_refuse_before_the_application() -> None:
    def judge(context: RequestContext) -> bool:
        raise exceptions.ServiceUnavailable('The rules cannot be read.')

    def unreachable(environ: Any, start_response: Any) -> Any:
        raise AssertionError('the application was called')

    app = ContextMiddleware(unreachable, identity.identify_local, judge)
    answer = webob.Request.blank('/', environ={fault.REQUEST_ID: 'req-1'}).get_response(app)
    assert (answer.status_int, answer.json['error']['message']) == (
        503,
        'The rules cannot be read.',
    )
    assert int(answer.headers['Retry-After']) > 0


def test_a_read_only_caller_is_one() -> None:
    assert RequestContext(read_only=True).read_only is True
    assert RequestContext().read_only is False
    found = identity.identify_by_keystone(True)({}, 'req-1')
    assert found is not None and found.read_only and not found.is_admin
