# SPDX-License-Identifier: Apache-2.0
"""The policy rules: which file is in force, and that whatever is broken refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

from glance_lite import exceptions, policies
from glance_lite.context import RequestContext
from glance_lite.policy import Policy, choose_file, make_enforcer
from tests import permissions

MakeConf = Callable[..., cfg.ConfigOpts]


def member(**kwargs: object) -> RequestContext:
    return RequestContext(project_id='p', roles=['member', 'reader'], **kwargs)


def test_a_json_file_overrides_the_defaults(make_conf: MakeConf, tmp_path: Path) -> None:
    (tmp_path / 'policy.json').write_text(json.dumps({'upload_image': 'role:uploader'}))
    policy = Policy.from_conf(make_conf())
    target = {'project_id': 'p'}
    assert not policy.allows(member(), 'upload_image', target)
    assert policy.allows(member(), 'modify_image', target)
    with pytest.raises(exceptions.Forbidden, match='upload_image'):
        policy.require(member(), 'upload_image', target)


def test_with_two_files_the_yaml_one_is_in_force_and_a_warning_says_so(
    make_conf: MakeConf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / 'policy.json').write_text('{"get_images": "!"}')
    (tmp_path / 'policy.yaml').write_text('"add_image": "!"')
    policy = Policy.from_conf(make_conf())
    assert policy.allows(member(), 'get_images', {'project_id': 'p'})
    assert not policy.allows(member(), 'add_image', {'project_id': 'p', 'owner': 'p'})
    warning = next(record for record in caplog.records if record.levelname == 'WARNING')
    assert f'{tmp_path}/policy.yaml is in force' in warning.getMessage()


def test_a_named_file_comes_first(make_conf: MakeConf, tmp_path: Path) -> None:
    (tmp_path / 'policy.yaml').write_text('"add_image": "!"')
    (tmp_path / 'mine.yaml').write_text('"get_images": "!"')
    conf = make_conf('[oslo_policy]\npolicy_file = mine.yaml\n')
    policy = Policy.from_conf(conf)
    assert choose_file(conf) == 'mine.yaml'
    assert not policy.allows(member(), 'get_images', {'project_id': 'p'})


@pytest.mark.parametrize(
    'content',
    [
        '{"a": ',
        '- x\n',
        '"add_image": "rule:nothing"',
        '"add_image": "rolemember"',
        '"add_image": "not rolemember"',
        '"add_image": "role:member and"',
        '"add_image": "role:member or (not (admin))"',
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(
    make_conf: MakeConf, tmp_path: Path, content: str
) -> None:
    (tmp_path / 'policy.yaml').write_text(content)
    with pytest.raises(exceptions.ConfigError, match=r'policy\.yaml'):
        make_enforcer(make_conf())


def test_a_named_file_that_is_missing_stops_the_start(make_conf: MakeConf) -> None:
    with pytest.raises(exceptions.ConfigError, match=r'none\.yaml does not exist'):
        make_enforcer(make_conf('[oslo_policy]\npolicy_file = none.yaml\n'))


def test_a_file_that_breaks_later_refuses_everything_until_it_is_repaired(
    make_conf: MakeConf, tmp_path: Path
) -> None:
    path = tmp_path / 'policy.yaml'
    path.write_text('{}')
    enforcer = make_enforcer(make_conf())
    policy = Policy(enforcer)
    assert policy.allows(member(), 'get_images', {'project_id': 'p'})
    for text, stamp in (('{"a": ', 1), ('"get_images": "!"', 2), ('{}', 3)):
        path.write_text(text)
        os.utime(path, (4e9 + stamp, 4e9 + stamp))
        enforcer._next_look = 0.0
        if stamp == 1:
            for _ in range(2):
                with pytest.raises(exceptions.ServiceUnavailable):
                    policy.allows(member(), 'get_images', {'project_id': 'p'})
                with pytest.raises(exceptions.ServiceUnavailable):
                    policy.is_admin(member())
        else:
            assert policy.allows(member(), 'get_images', {'project_id': 'p'}) == (stamp == 3)


def test_who_is_an_administrator_is_a_rule(make_conf: MakeConf, tmp_path: Path) -> None:
    (tmp_path / 'policy.json').write_text('{"context_is_admin": "role:boss"}')
    policy = Policy.from_conf(make_conf())
    assert policy.is_admin(RequestContext(project_id='p', roles=['Boss']))
    assert not policy.is_admin(RequestContext(project_id='p', roles=['admin']))


def test_a_domain_token_passes_no_rule_of_images(make_conf: MakeConf) -> None:
    policy = Policy.from_conf(make_conf())
    caller = RequestContext(domain_id='d', roles=['admin'], is_admin=True)
    assert not policy.allows(caller, 'get_images', {'project_id': None})


CALLERS = [
    RequestContext(project_id='p', roles=['reader']),
    RequestContext(project_id='q', roles=['member', 'reader'], user_id='u'),
    RequestContext(project_id='q', roles=['admin'], is_admin=True),
    RequestContext(project_id='p', roles=['service']),
    RequestContext(roles=['reader'], system_scope='all'),
    RequestContext(domain_id='d', roles=['admin'], is_admin=True),
]
TARGETS = [
    {},
    {'project_id': 'p', 'owner': 'p', 'visibility': 'private'},
    {'project_id': 'p', 'visibility': 'public', 'status': 'active', 'member_id': 'q'},
]
MINE = {
    'get_image': 'not role:service and (rule:owns or @)',
    'get_images': 'system:all or !',
    'delete_image': "rule:owns and not ('private':%(visibility)s and user_id:u)",
    'owns': 'project_id:%(project_id)s',
    'modify_image': 'role:%(status)s or True:%(no.such.thing)s or is_admin:True',
}


@pytest.mark.parametrize('rules', [{}, MINE], ids=['the defaults', 'a file'])
def test_the_quick_way_decides_as_the_library_does(
    make_conf: MakeConf, tmp_path: Path, rules: dict[str, str]
) -> None:
    (tmp_path / 'policy.json').write_text(json.dumps(rules))
    enforcer = make_enforcer(make_conf())
    found = set()
    for name in [*(rule.name for rule in policies.list_rules()), 'owns', 'there is none']:
        for caller in CALLERS:
            for target in TARGETS:
                theirs = bool(enforcer.enforce(name, dict(target), caller.to_policy_values()))
                assert enforcer.passes(name, target, caller.policy_values) == theirs, name
                found.add(theirs)
    assert found == {True, False}


def test_every_rule_of_a_call_names_it() -> None:
    for rule in policies.list_rules():
        assert rule.description
        if rule.name not in ('default', 'context_is_admin', 'service_api'):
            paths = [operation['path'] for operation in rule.operations]
            assert all(path.startswith(('/v1/', '/v2/')) for path in paths)


def test_every_operation_of_a_rule_is_in_the_table_of_permissions() -> None:
    """Where it is missing, give it a Call in ``tests/permissions.py`` with whom it lets pass."""
    tested = {(call.rule, call.method, call.path) for call in permissions.CALLS}
    declared = {
        (rule.name, operation['method'], operation['path'])
        for rule in policies.list_rules()
        for operation in getattr(rule, 'operations', [])
    }
    assert tested == declared
