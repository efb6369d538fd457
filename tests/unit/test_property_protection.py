# SPDX-License-Identifier: Apache-2.0
"""The file of property protections: what it means, in both formats, and what is wrong with it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from oslo_config import cfg

from glance_lite import deploy, exceptions
from glance_lite.context import RequestContext
from glance_lite.property_protection import OPERATIONS, parse

MakeConf = Callable[..., cfg.ConfigOpts]

ROLES = """
# the first section that fits decides
[^x_secret$]
create = Auditor
read = auditor
update = admin, auditor
delete = !
[^x_]
create = admin,member
read = @
update = admin
delete = admin
[^y_blind$]
create = member
read = admin
update = @
delete = @
"""
#: Property, caller's roles, and the operations that are permitted.
TABLE = [
    ('x_secret', ('auditor',), 'create read update'),
    ('x_secret', ('admin',), ''),
    ('x_secret', ('member', 'reader'), ''),
    ('x_plain', ('admin',), 'create read update delete'),
    ('x_plain', ('MEMBER',), 'create read'),
    ('x_plain', ('reader',), 'read'),
    ('x_plain', (), 'read'),
    ('y_blind', ('member',), 'create'),
    ('y_blind', ('admin',), 'read update delete'),
    ('other', ('admin',), ''),
    ('my_x_plain', ('admin',), ''),
]


def never(rule: str) -> bool:
    raise AssertionError(f'{rule} is no policy rule here')


@pytest.mark.parametrize(('name', 'roles', 'permitted'), TABLE)
def test_the_format_of_roles(name: str, roles: tuple[str, ...], permitted: str) -> None:
    protection = parse(ROLES, 'roles')
    caller = RequestContext(project_id='p', roles=list(roles))
    found = [each for each in OPERATIONS if protection.permits(each, name, caller, never)]
    assert found == permitted.split()


@pytest.mark.parametrize(('name', 'roles', 'permitted'), TABLE)
def test_the_same_by_policy_rules(
    name: str, roles: tuple[str, ...], permitted: str, make_conf: MakeConf, tmp_path: Path
) -> None:
    (tmp_path / 'policy.yaml').write_text(
        '"both": "role:admin or role:member"\n"either": "role:admin or role:auditor"\n'
        '"an_admin": "role:admin"\n"an_auditor": "role:auditor"\n"a_member": "role:member"\n'
    )
    words = {
        'admin,member': 'both',
        'admin, auditor': 'either',
        'Auditor': 'an_auditor',
        'auditor': 'an_auditor',
        'admin': 'an_admin',
        'member': 'a_member',
    }
    lines = []
    for line in ROLES.splitlines():
        key, equals, value = line.partition(' = ')
        lines.append(f'{key}{equals}{words.get(value, value)}')
    (tmp_path / 'rules.conf').write_text('\n'.join(lines))
    conf = make_conf(
        '[DEFAULT]\nproperty_protection_file = rules.conf\n'
        'property_protection_rule_format = policies\n'
    )
    services = deploy.build_services(conf)
    protection = services.rules.protection
    assert protection is not None
    caller = RequestContext(project_id='p', roles=list(roles))

    def passes(rule: str) -> bool:
        return services.policy.allows(caller, rule, {})

    found = [each for each in OPERATIONS if protection.permits(each, name, caller, passes)]
    assert found == permitted.split()
    services.db.dispose()


def test_the_roles_of_a_service_count() -> None:
    caller = RequestContext(project_id='p', roles=['member'], service_roles=['auditor'])
    assert parse(ROLES, 'roles').permits('create', 'x_secret', caller, never)


def section(**changed: str | None) -> str:
    lines = dict.fromkeys(OPERATIONS, 'admin') | changed
    return '[^a$]\n' + ''.join(
        f'{name} = {value}\n' for name, value in lines.items() if value is not None
    )


@pytest.mark.parametrize(
    ('text', 'rule_format', 'message'),
    [
        ('', 'roles', 'has no section'),
        ('create = admin\n', 'roles', 'no section headers'),
        ('[^a$\ncreate = admin\n', 'roles', 'no section headers'),
        ('[a(]\n', 'roles', r'section \[a\(\]: it is no regular expression'),
        (section(delete=None), 'roles', r'section \[\^a\$\] lacks the operation delete'),
        (section(update='@, !'), 'roles', r'section \[\^a\$\], operation update: @ .* exclude'),
        (section(update='!,@'), 'policies', r'section \[\^a\$\], operation update: @ .* exclude'),
        (
            section(read='a, b'),
            'policies',
            r'section \[\^a\$\], operation read: .* one policy rule',
        ),
        (section() + section(), 'roles', r"section '\^a\$' already exists"),
        ('[^a$]\ncreate = admin\ncreate = admin\n', 'roles', 'already exists'),
    ],
)
def test_a_wrong_file_stops_the_start(
    text: str, rule_format: str, message: str, make_conf: MakeConf, tmp_path: Path
) -> None:
    (tmp_path / 'rules.conf').write_text(text)
    conf = make_conf(
        '[DEFAULT]\nproperty_protection_file = rules.conf\n'
        f'property_protection_rule_format = {rule_format}\n'
    )
    with pytest.raises(exceptions.ConfigError, match=message) as caught:
        deploy.build_rules(conf)
    assert 'property_protection_file' in caught.value.message
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(
    ('content', 'message'),
    [(None, 'there is no such file'), (b'[\xff]', 'not UTF-8'), (b'', 'no section')],
)
def test_a_file_that_cannot_be_read_stops_the_start(
    content: bytes | None, message: str, make_conf: MakeConf, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / 'rules.conf').write_bytes(content)
    with pytest.raises(exceptions.ConfigError, match=message):
        deploy.build_rules(make_conf('[DEFAULT]\nproperty_protection_file = rules.conf\n'))


def test_a_policy_rule_that_there_is_not_stops_the_start(
    make_conf: MakeConf, tmp_path: Path
) -> None:
    (tmp_path / 'rules.conf').write_text(section())
    conf = make_conf(
        '[DEFAULT]\nproperty_protection_file = rules.conf\n'
        'property_protection_rule_format = policies\n'
    )
    with pytest.raises(exceptions.ConfigError, match='the policy rule admin, which there is not'):
        deploy.build_rules(conf)


def test_an_operation_for_nobody_is_told(caplog: pytest.LogCaptureFixture) -> None:
    protection = parse(section(delete='', more='x'), 'roles')
    told = [record.getMessage() for record in caplog.records]
    assert any('operation delete names nobody' in each for each in told)
    assert any('nothing reads more' in each for each in told)
    admin = RequestContext(roles=['admin'])
    assert not protection.permits('delete', 'a', admin, never)
    assert protection.permits('update', 'a', admin, never)


def test_a_pattern_may_have_brackets_and_percents() -> None:
    text = section().replace('^a$', '^[ab]%(c)?$')
    assert parse(text, 'roles').permits('read', 'b%', RequestContext(roles=['admin']), never)


INJECT = (
    '[image_import_opts]\nimage_import_plugins = inject_image_metadata\n'
    '[inject_metadata_properties]\ninject = a:1, b:2\n'
)


@pytest.mark.parametrize(
    ('sections', 'named'),
    [
        (None, ['a', 'b']),
        (section(), []),
        (section(update='member'), ['a']),
        (section(create='@'), ['a']),
        (section(delete='admin, _member_'), ['a']),
        (section(read='@'), []),
    ],
)
def test_an_injected_property_that_users_may_change_is_told_at_the_start(
    sections: str | None,
    named: list[str],
    make_conf: MakeConf,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    extra = INJECT
    if sections is not None:
        (tmp_path / 'rules.conf').write_text(sections)
        extra += '[DEFAULT]\nproperty_protection_file = rules.conf\n'
    with caplog.at_level(logging.WARNING):
        deploy.build_services(make_conf(extra)).db.dispose()
    told = [record.getMessage() for record in caplog.records if 'which imports' in record.msg]
    assert [f': {", ".join(named)}.' in each for each in told] == ([True] if named else [])
