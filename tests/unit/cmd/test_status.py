# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-status upgrade check`` finds what would stop a start, or surprise after it."""

import json
import os
import time
from pathlib import Path

import pytest
from oslo_config import cfg

from glance_lite import configuration
from glance_lite.cmd import status
from glance_lite.db import images, schema
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain

SUCCESS, WARNING, FAILURE = 0, 1, 2


@pytest.fixture
def check(capsys):
    """Return a function that checks a configuration: exit status, result and details by check."""

    def check(conf, *words):
        argv = ['--config-file', conf.config_file[0], 'upgrade', 'check', *words, '--json']
        code = status.main(argv, cfg.ConfigOpts())
        found = json.loads(capsys.readouterr().out)['checks']
        return code, {each['check']: (each['result'], each['details']) for each in found}

    return check


def test_a_service_that_would_start_is_good(conf, check):
    code, found = check(conf)
    assert {name: result for name, (result, _) in found.items()} == {
        'Database schema': SUCCESS,
        'Policy file': SUCCESS,
        'Staging area': SUCCESS,
        'Stores': SUCCESS,
        'Import plugins': SUCCESS,
        'Options': SUCCESS,
    }
    assert code == 0


def test_the_table_is_for_people(conf, capsys):
    code = status.main(['--config-file', conf.config_file[0], 'upgrade', 'check'], cfg.ConfigOpts())
    said = capsys.readouterr().out
    assert code == 0 and 'Check: Database schema' in said and 'Result: Success' in said


def test_a_server_database_with_an_old_schema_stops_the_upgrade(
    empty_database_url, make_conf, check
):
    conf = make_conf(connection=empty_database_url)
    code, found = check(conf)
    result, details = found['Database schema']
    if empty_database_url.startswith('sqlite'):
        assert (code, result) == (0, SUCCESS)
    else:
        assert (code, result) == (2, FAILURE)
        assert 'glance-lite-manage db expand' in details
        db = Database.from_conf(conf)
        schema.sync(db)
        db.dispose()
        assert check(conf)[0] == 0


def test_a_database_that_is_away_is_told_at_once_without_its_password(
    make_conf, check, monkeypatch
):
    away = 'postgresql+psycopg://glance:hush@127.0.0.1:9/glance'
    monkeypatch.setattr(time, 'sleep', lambda seconds: pytest.fail('it tries again'))
    code, found = check(make_conf(connection=away))
    assert code == 2
    assert found['Database schema'][0] == FAILURE and 'hush' not in found['Database schema'][1]


def test_a_policy_file_in_json_is_a_warning(make_conf, tmp_path, check):
    (tmp_path / 'policy.json').write_text('{"get_image": "role:admin"}')
    code, found = check(make_conf('[oslo_policy]\npolicy_file = policy.json\n'))
    assert code == 1
    assert found['Policy file'][0] == WARNING and 'oslopolicy-convert' in found['Policy file'][1]


def test_a_rule_that_nothing_asks_for_is_a_warning(conf, tmp_path, check):
    (tmp_path / 'policy.yaml').write_text('"get_imgae": "role:admin"\n')
    code, found = check(conf)
    assert (code, found['Policy file'][0]) == (1, WARNING) and 'get_imgae' in found['Policy file'][
        1
    ]


def test_a_policy_file_that_cannot_be_used_stops_the_upgrade(conf, tmp_path, check):
    (tmp_path / 'policy.yaml').write_text('"get_image": "rule:nothing"\n')
    code, found = check(conf)
    assert (code, found['Policy file'][0]) == (2, FAILURE)


def test_a_staging_directory_that_anybody_may_write_to_stops_the_upgrade(conf, tmp_path, check):
    staging = tmp_path / 'staging'
    staging.mkdir()
    staging.chmod(0o777)
    code, found = check(conf)
    assert (code, found['Staging area'][0]) == (2, FAILURE) and 'chmod' in found['Staging area'][1]


def test_images_in_a_store_that_is_not_configured_are_a_warning(conf, check):
    db = Database.from_conf(conf)
    schema.sync(db)
    with db.writer() as session:
        images.insert(session, domain.Image('i', status=domain.ACTIVE))
        images.set_locations(session, 'i', [domain.Location('attic', 'file:///a')])
    db.dispose()
    code, found = check(conf)
    assert (code, found['Stores'][0]) == (1, WARNING) and 'attic' in found['Stores'][1]


def test_a_store_that_cannot_be_used_and_a_missing_plugin_stop_the_upgrade(
    make_conf, tmp_path, check
):
    (tmp_path / 'link').symlink_to(tmp_path)
    conf = make_conf('[image_import_opts]\nimage_import_plugins = [no_op]\n')
    text = Path(conf.config_file[0]).read_text()
    text = text.replace(f'{tmp_path}/cold', f'{tmp_path}/link').replace('[no_op]', '[no_opp]')
    Path(conf.config_file[0]).write_text(text)
    code, found = check(conf)
    assert code == 2
    assert found['Stores'][0] == FAILURE and 'symbolic link' in found['Stores'][1]
    assert found['Import plugins'][0] == FAILURE and 'no_op' in found['Import plugins'][1]


def test_options_that_nothing_reads_are_a_warning(make_conf, check):
    code, found = check(make_conf('[api]\nrequest_treads = 3\n'))
    assert (code, found['Options'][0]) == (1, WARNING)
    assert 'Did you mean request_threads?' in found['Options'][1]


def test_options_with_an_old_name_or_no_future_are_found(conf):
    conf.register_opts(
        [
            cfg.StrOpt('new_name', deprecated_name='old_name'),
            cfg.StrOpt('going', deprecated_for_removal=True, deprecated_reason='Nobody needs it.'),
        ],
        group='ours',
    )
    with open(conf.config_file[0], 'a') as file:
        file.write('[ours]\nold_name = a\ngoing = b\n')
    assert configuration.find_deprecated(conf) == [
        'glance-api.conf: the option old_name of [ours] is now called new_name of [ours].',
        'glance-api.conf: the option going of [ours] will go. Nobody needs it.',
    ]


def test_a_configuration_that_cannot_be_read_is_no_verdict(tmp_path, capsys):
    path = tmp_path / 'wrong.conf'
    path.write_text('[DEFAULT]\nworkers = many\n')
    assert status.main(['--config-file', str(path), 'upgrade', 'check'], cfg.ConfigOpts()) == 255
    said = capsys.readouterr()
    assert 'workers' in said.err and os.linesep and 'Traceback' not in said.err + said.out
