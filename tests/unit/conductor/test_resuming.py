# SPDX-License-Identifier: Apache-2.0
"""What an attempt makes of the steps, the files and the reasons of one that died."""

import hashlib
import os
import random
from pathlib import Path

import pytest
from taskflow import task

from glance_lite.conductor import persistence
from glance_lite.db import jobs, models
from tests.engine import Engine

DATA = random.Random(7).randbytes(200_000)


class Died(BaseException):
    """The conductor is gone in this moment."""


@pytest.fixture(autouse=True)
def written_at_once(monkeypatch):
    """Have the end of each step written, as after a long one."""
    monkeypatch.setattr(persistence, 'WRITE_SECONDS', 0)


def plugin(name, execute, revert=None):
    def get_flow(**arguments):
        class Plugin(task.Task):
            def execute(self, file_path):
                return execute(file_path.removeprefix('file://'))

            def revert(self, **kwargs):
                if revert is not None:
                    revert()

        return Plugin(name, provides='file_path')

    return get_flow


def die(engine):
    """Run the next import until its conductor dies, then let its lease run out."""
    conductor = engine.conductor()
    with pytest.raises(Died):
        conductor.run_pending()
    with engine.db.writer() as session:
        session.execute(models.jobs.update().values(expires_ms=1))


def start(engine, plugins, **values):
    engine.services.plugins._plugins.update(plugins)
    image_id = engine.stage(DATA, **values)
    return image_id, engine.post(image_id, plugins=list(plugins))


def once(action):
    """Return a function that acts only the first time."""
    done = []

    def act(*args):
        if not done:
            done.append(True)
            return action(*args)
        return None

    return act


def raise_died(*args):
    raise Died


def check_active(engine, image_id, data=DATA):
    image = engine.image(image_id)
    assert (image.status, image.os_hash_value) == ('active', hashlib.sha512(data).hexdigest())
    path = image.locations[0].url.removeprefix('file://')
    assert Path(path).read_bytes() == data
    left = engine.leftovers()
    assert (left['flows'], left['jobs'], left['staging']) == (0, 0, [])


def test_a_plugin_that_consumed_its_input_before_the_crash_is_given_it_again(make_conf):
    engine = Engine(make_conf())

    def transform(path):
        with open(path, 'rb') as old, open(path + '.new', 'wb') as new:
            new.write(old.read().upper())
        os.remove(path)
        return 'file://' + path + '.new'

    plugins = {'transform': plugin('t', transform), 'fatal': plugin('f', once(raise_died))}
    image_id, _ = start(engine, plugins)
    die(engine)
    assert engine.leftovers()['flows'] == 1
    engine.conductor().run_pending()
    check_active(engine, image_id, DATA.upper())


def test_data_that_was_half_rewritten_in_place_is_not_taken_for_whole(make_conf):
    engine = Engine(make_conf())

    def scribble(path):
        with open(path, 'r+b') as file:
            file.write(b'half')
        raise Died

    image_id, task_id = start(engine, {'scribble': plugin('s', once(scribble))})
    die(engine)
    engine.conductor().run_pending()
    done = engine.task(task_id)
    assert (engine.image(image_id).status, done.error['code']) == ('queued', 'staging_unreachable')
    assert engine.leftovers()['staging'] == []


def test_a_plugin_of_a_lost_attempt_cannot_write_into_the_image(make_conf):
    engine = Engine(make_conf())
    paths = []

    def hold(path):
        paths.append(open(path, 'r+b'))  # noqa: SIM115 - held beyond the step
        if len(paths) == 1:
            raise Died

    image_id, _ = start(engine, {'hold': plugin('h', hold)})
    die(engine)
    engine.conductor().run_pending()
    paths[0].write(b'late')  # the conductor only stood still
    paths[0].close()
    check_active(engine, image_id)


def test_nor_can_one_of_an_import_that_failed(make_conf):
    engine = Engine(make_conf())
    held = []

    def hold(path):
        held.append(open(path, 'r+b'))  # noqa: SIM115 - held beyond the step
        raise ValueError('no')

    engine.services.plugins._plugins['hold'] = plugin('h', once(hold))
    image_id = engine.stage(DATA)
    engine.post(image_id, plugins=['hold'])
    engine.conductor().run_pending()
    assert engine.image(image_id).status == 'uploading'
    engine.post(image_id, plugins=['hold'])
    engine.conductor().run_pending()
    held[0].write(b'late')
    held[0].close()
    check_active(engine, image_id)


def test_copies_are_resumed_without_measuring_again(make_conf):
    engine = Engine(make_conf())
    cold = engine.services.stores.get('cold')
    put = cold.put_file
    cold.put_file = lambda *args: once_dead(*args) or put(*args)
    once_dead = once(raise_died)
    image_id = engine.stage(DATA)
    task_id = engine.post(image_id, stores=['fast', 'cold'])
    die(engine)
    engine.conductor().run_pending()
    check_active(engine, image_id)
    phases = [phase['phase'] for phase in engine.task(task_id).progress['phases']]
    assert 'measure-data' not in phases and 'copy-to-store:cold' in phases


def test_the_reason_of_a_failure_outlives_the_conductor(make_conf, database_url):
    engine = Engine(make_conf(connection=database_url))

    def fail(path):
        raise ValueError('the moon is full')

    image_id, task_id = start(engine, {'moody': plugin('m', fail, revert=once(raise_died))})
    die(engine)
    assert engine.task(task_id).error['code'] == 'plugin_failed'
    engine.conductor().run_pending()
    done = engine.task(task_id)
    assert (done.status, done.error['code'], done.error['plugin']) == (
        'failure',
        'plugin_failed',
        'moody',
    )
    assert 'the moon is full' in done.message and done.error['phase'] == 'run-plugin:moody'
    assert engine.image(image_id).status == 'uploading'
    with engine.db.reader() as session:
        assert jobs.count(session) == 0
    engine.db.dispose()


def test_what_plugins_did_is_known_to_an_attempt_that_goes_on_behind_them(make_conf, monkeypatch):
    engine = Engine(make_conf())
    ran = []
    image_id, task_id = start(engine, {'look': plugin('l', lambda path: ran.append(path))})
    store = engine.services.stores.get('fast')
    with monkeypatch.context() as patch:
        patch.setattr(store, 'put_file', lambda *args, **kwargs: raise_died())
        die(engine)
    [before] = engine.task(task_id).receipts
    engine.conductor().run_pending()
    check_active(engine, image_id)
    assert len(ran) == 1
    assert engine.task(task_id).receipts == [before]
    assert (before['plugin'], before['outcome']) == ('look', 'passed')
