# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage db``: the schema, its other spellings, and purging."""

import datetime
import os

import pytest
from oslo_config import cfg

from glance_lite.cmd import manage
from glance_lite.db import images, models, schema
from glance_lite.db.engine import Database, utcnow
from glance_lite.domain import image as domain


@pytest.fixture
def run(conf, capsys):
    """Return a function that runs the program and returns exit status and standard output."""

    def run(*words):
        status = manage.main(['--config-file', conf.config_file[0], *words], cfg.ConfigOpts())
        said = capsys.readouterr()
        assert said.err == ''
        return status, said.out

    return run


@pytest.fixture
def db(conf):
    found = Database.from_conf(conf)
    yield found
    found.dispose()


@pytest.mark.parametrize(
    'words', [['db', 'sync'], ['db', 'upgrade', 'head'], ['db_sync'], ['db', 'expand']]
)
def test_the_schema_comes_by_each_name(run, conf, words):
    os.remove(conf.database.connection.removeprefix('sqlite:///'))
    assert run('db', 'version') == (0, 'none\n')
    status, said = run('db', 'check')
    assert status == 1 and said.endswith('Run: glance-lite-manage db sync\n')
    assert run(*words) == (0, f'The database is at schema revision {schema.head()}.\n')
    assert run('db', 'version') == (0, f'{schema.head()}\n')
    assert run('db', 'check')[0] == run('db_check')[0] == 0
    assert run('db', 'migrate') == (0, 'There is no data to move.\n')
    assert run('db', 'contract')[0] == 0


def test_the_schema_of_a_newer_release_that_only_has_more_is_good(run, db):
    run('db', 'sync')
    newer = f'{int(schema.head()) + 1:04}'
    with db.write_engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{newer}'")
    status, said = run('db', 'check')
    assert status == 0 and f'revision {newer} of a newer release' in said
    assert run('db', 'expand') == (0, f'The database is at schema revision {newer}.\n')


def delete_image(db, image_id, days):
    with db.writer() as session:
        images.insert(session, domain.Image(image_id, name='disk', owner='p1'))
        images.delete(session, image_id, [domain.QUEUED])
        session.execute(
            models.images.update()
            .where(models.images.c.id == image_id)
            .values(deleted_at=utcnow() - datetime.timedelta(days=days))
        )


def test_purging_says_what_it_forgot(run, db):
    run('db', 'sync')
    for number in range(3):
        delete_image(db, f'old{number}', 200)
    status, said = run('db', 'purge', '--max_rows', '2')
    assert status == 0
    assert said.startswith('Purged what ended more than 30 days ago:\n')
    assert '  images             2\n' in said and 'There may be more' in said
    assert '  images             1\n' in run('db_purge', '--age-in-days', '30')[1]
    status, said = run('db', 'purge_images_table')
    assert said == 'Removed the ids of 3 images, deleted more than 180 days ago.\n'


def test_ids_are_kept_for_half_a_year_unless_told_otherwise(run, db):
    run('db', 'sync')
    delete_image(db, 'old', 179)
    assert ' 0 images' in run('db', 'purge_images_table')[1]
    assert ' 1 images' in run('db', 'purge_images_table', '--age_in_days', '10')[1]


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--age_in_days', '-1'], 'not between 0 and'),
        (['--age_in_days', 'x'], 'invalid _days value'),
        (['--max_rows', '0'], 'neither -1 nor'),
        (['--max_rows', '-2'], 'neither -1 nor'),
    ],
)
def test_a_wrong_age_or_number_is_refused(words, told, capsys):
    with pytest.raises(SystemExit) as stopped:
        manage.main(['db', 'purge', *words])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err
