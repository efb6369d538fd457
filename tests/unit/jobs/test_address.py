# SPDX-License-Identifier: Apache-2.0
"""The URL of a board: what becomes of it, and what is refused, without repeating a password."""

import pytest

from glance_lite import exceptions
from glance_lite.jobs.address import BoardAddress, parse_url

SECRET = 'hunter2'


def test_the_default_is_the_database(conf):
    assert BoardAddress.from_conf(conf) is None


def test_a_board_without_a_url_is_on_this_host(make_conf):
    found = BoardAddress.from_conf(make_conf('job_board = redis\n'))
    assert str(found) == 'redis at 127.0.0.1:6379'


@pytest.mark.parametrize(
    ('kind', 'url', 'shown', 'expected'),
    [
        (
            'redis',
            'redis://',
            '127.0.0.1:6379',
            {
                'host': '127.0.0.1',
                'port': 6379,
                'db': 0,
                'namespace': 'glance-lite',
                'socket_timeout': 2.0,
                'socket_connect_timeout': 2.0,
            },
        ),
        (
            'redis',
            'redis://me:p%40ss@redis.example.org:7000/3?ssl=true&namespace=n',
            'redis.example.org:7000',
            {
                'host': 'redis.example.org',
                'port': 7000,
                'db': 3,
                'username': 'me',
                'password': 'p@ss',
                'ssl': True,
                'namespace': 'n',
            },
        ),
        ('redis', 'redis://:secret@[::1]', '::1:6379', {'host': '::1', 'password': 'secret'}),
        (
            'redis',
            'redis://s1:26379?sentinel=main&sentinel_fallbacks=s2:26379,s3:26379',
            's1:26379',
            {'sentinel': 'main', 'sentinel_fallbacks': ['s2:26379', 's3:26379']},
        ),
        (
            'redis',
            'redis://?unix_socket_path=/run/redis.sock',
            '/run/redis.sock',
            {'unix_socket_path': '/run/redis.sock'},
        ),
        (
            'etcd',
            'etcd://etcd.example.org/clouds/one?protocol=https&ca_cert=/ca.pem&timeout=5',
            'etcd.example.org:2379',
            {
                'host': 'etcd.example.org',
                'port': 2379,
                'path': 'clouds/one',
                'protocol': 'https',
                'ca_cert': '/ca.pem',
                'timeout': 5.0,
            },
        ),
        ('etcd', 'etcd://127.0.0.1:2', '127.0.0.1:2', {'path': 'glance-lite', 'timeout': 2.0}),
        (
            'zookeeper',
            'zookeeper://z1,z2:2182/one/jobs?use_ssl=true',
            'z1:2181,z2:2182',
            {
                'hosts': 'z1:2181,z2:2182',
                'path': '/one/jobs',
                'use_ssl': True,
                'check_compatible': False,
            },
        ),
        ('zookeeper', 'zookeeper://z1', 'z1:2181', {'path': '/glance-lite/jobs'}),
    ],
)
def test_a_url_becomes_taskflows_settings(kind, url, shown, expected):
    found = parse_url(kind, url)
    assert {name: found.settings[name] for name in expected} == expected
    assert str(found) == f'{kind} at {shown}'
    for part in (found.settings.get('password'), found.settings.get('username')):
        assert part is None or part not in f'{found} {found!r}'


@pytest.mark.parametrize(
    ('kind', 'url', 'sentence'),
    [
        ('redis', f'etcd://me:{SECRET}@h', 'must begin with redis://'),
        ('redis', f'redis://me:{SECRET}@h:port', 'has a host or port that cannot be read'),
        ('redis', f'redis://me:{SECRET}@h:99999', 'has a host or port that cannot be read'),
        ('redis', f'redis://me:{SECRET}@[h', 'is not a URL'),
        ('redis', f'redis://me:{SECRET}@h/base', 'must have the number of a database'),
        ('redis', f'redis://me:{SECRET}@h1,h2', 'must name one host'),
        ('redis', f'redis://me:{SECRET}@h?socket_timout=1', 'Did you mean socket_timeout?'),
        ('redis', f'redis://me:{SECRET}@h?password={SECRET}', "unknown setting 'password'"),
        ('redis', f'redis://me:{SECRET}@h?socket_timeout=soon', 'a value for socket_timeout'),
        ('redis', f'redis://me:{SECRET}@h?socket_timeout=-1', 'a value for socket_timeout'),
        ('redis', f'redis://me:{SECRET}@h?ssl=perhaps', 'a value for ssl'),
        ('etcd', f'etcd://me:{SECRET}@h', 'may not name a user'),
        ('zookeeper', f'zookeeper://me:{SECRET}@h', 'may not name a user'),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(make_conf, kind, url, sentence):
    conf = make_conf(f'job_board = {kind}\nboard_url = {url}\n')
    with pytest.raises(exceptions.ConfigError) as found:
        parse_url(kind, conf.conductor.board_url)
    assert sentence in found.value.message and '[conductor] board_url' in found.value.message
    assert SECRET not in found.value.message


def test_a_url_without_its_board_is_refused(make_conf):
    with pytest.raises(exceptions.ConfigError, match='is set, but job_board is sql'):
        BoardAddress.from_conf(make_conf('board_url = redis://h\n'))


def test_the_url_is_masked_where_options_are_logged(make_conf, caplog):
    conf = make_conf(f'job_board = redis\nboard_url = redis://:{SECRET}@h\n')
    import logging

    caplog.set_level(logging.DEBUG)
    conf.log_opt_values(logging.getLogger('options'), logging.DEBUG)
    assert 'board_url' in caplog.text and SECRET not in caplog.text
