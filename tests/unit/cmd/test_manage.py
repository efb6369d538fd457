# SPDX-License-Identifier: Apache-2.0
"""What an operator sees and does with ``glance-lite-manage``."""

import json
import os
import re

import pytest
import sqlalchemy as sa
from oslo_config import cfg

from glance_lite.cmd import manage
from glance_lite.db import conductors, images, jobs, models, removals, tasks
from glance_lite.db.engine import now_ms
from glance_lite.domain import image as domain
from glance_lite.image_import import start
from glance_lite.testing.stores import put
from tests.engine import Engine
from tests.origin import Origin

#: Sources are on this host, and are asked once.
LOCAL = (
    '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
    '[web_download]\nretries = 0\n'
)
NOBODY = '127.0.0.1:9'  # a port where nobody answers


class Operator:
    """Runs the program in this process, on the configuration of an engine."""

    def __init__(self, conf, capsys):
        self.path = conf.config_file[0]
        self._capsys = capsys

    def run(self, *words):
        """Return exit status, standard output and standard error."""
        self._capsys.readouterr()
        status = manage.main(['--config-file', self.path, *words], cfg.ConfigOpts())
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def ok(self, *words):
        """Return the standard output of a command that must succeed in silence."""
        status, out, err = self.run(*words)
        assert (status, err) == (0, '')
        return out

    def fails(self, *words):
        """Return the sentence of a command that must fail."""
        status, out, err = self.run(*words)
        assert (status, out) == (1, '') and err.count('\n') == 1
        assert err.startswith('glance-lite-manage: ') and 'Traceback' not in err
        return err

    def document(self, *words):
        """Return what a command prints with ``--json``."""
        return json.loads(self.ok(*words, '--json'))


@pytest.fixture
def engine(make_conf):
    found = Engine(make_conf(LOCAL + '[import]\nmax_per_project = 1\n'))
    yield found
    found.db.dispose()


@pytest.fixture
def operator(engine, capsys):
    return Operator(engine.services.conf, capsys)


def conductor(engine, name, areas=None, seen_ms=0):
    """Make the record of a conductor that was seen so long ago."""
    with engine.db.writer() as session:
        areas = [engine.services.staging.area_id] if areas is None else areas
        conductors.check_in(session, name, 'host', areas)
        table = models.conductors
        session.execute(
            sa.update(table).where(table.c.name == name).values(seen_ms=now_ms() - seen_ms)
        )


def claim(engine, task_id, name='host:1:a', lease_ms=60_000, **progress):
    """Let a conductor run an import."""
    with engine.db.writer() as session:
        assert jobs.claim(session, task_id, 0, name, lease_ms)
        jobs.renew(session, task_id, 1, lease_ms, {'phase': 'download', **progress})
        tasks.start_attempt(session, task_id)


def fails_to_connect(engine, uri=f'http://{NOBODY}/disk', **body):
    """Let the import of a new image fail for want of a source; return image and task id."""
    image_id = engine.create()
    services = engine.services
    body = {'method': {'name': 'web-download', 'uri': uri}, **body}
    wanted = start.import_request.parse(body, ['web-download'])
    caller = start.RequestContext(project_id='p1', user_id='u1', roles=['member'])
    task = start.start_import(
        services, caller, engine.image(image_id), wanted, ('cold', 'fast'), body
    )
    engine.conductor().run_pending()
    assert engine.task(task.task_id).status == 'failure'
    return image_id, task.task_id


# list


def test_imports_are_listed_with_who_runs_them(engine, operator):
    assert operator.ok('imports', 'list') == 'No import is unfinished.\n'
    waiting, running, lost = (engine.post(engine.stage(1000)) for _ in range(3))
    claim(engine, running, 'host:1:a', bytes_done=512, bytes_total=2048, percent=25)
    claim(engine, lost, 'host:2:b', lease_ms=-5000)
    lines = operator.ok('imports', 'list').splitlines()
    assert lines[0].split() == list(manage.manage_imports._HEADINGS)
    by_id = {line.split()[1]: ' '.join(line.split()) for line in lines[1:]}
    assert 'p1 glance-direct pending waiting' in by_id[waiting]
    assert by_id[waiting].endswith('number 1 in the queue')
    assert 'processing download 25% of 2.0 KiB 1' in by_id[running] and 'host:1 ' in by_id[running]
    assert 'host:2 lost 5.' in by_id[lost]


def test_imports_are_chosen_by_status_and_project(engine, operator):
    done, failed = engine.post(engine.stage(1000)), fails_to_connect(engine)[1]
    waiting = engine.post(engine.stage(1000))
    listed = lambda *words: [row['id'] for row in operator.document('imports', 'list', *words)]  # noqa: E731
    assert listed() == [waiting]
    assert listed('--all') == [done, failed, waiting]
    assert listed('--status', 'failure') == [failed]
    assert listed('--all', '--project', 'p1', '--status', 'success') == [done]
    assert listed('--all', '--project', 'p2') == []
    assert 'source_unreachable' in operator.ok('imports', 'list', '--status', 'failure')


# show


def test_all_about_a_failed_import_is_shown(engine, operator):
    image_id, task_id = fails_to_connect(engine)
    out = operator.ok('imports', 'show', image_id)
    for words in (
        f'import  {task_id}',
        f'image  {image_id} (queued)',
        'stores  cold, fast (all of them)',
        'status  failure',
        'attempts  1 of 5',
        'phases before  confirm-claim',
        'error  source_unreachable in download; the same import may succeed later',
        f'next  Nothing, until it is repeated: glance-lite-manage imports retry {image_id}',
    ):
        assert words in '\n'.join(
            '  '.join(part for part in line.split('  ') if part).replace('   ', '  ')
            for line in out.splitlines()
        ), words
    found = operator.document('imports', 'show', task_id)
    assert (found['id'], found['image_status'], found['conductor']) == (task_id, 'queued', None)
    assert found['error']['code'] == 'source_unreachable' and 'refused' not in found['error']
    assert found['uri'] == f'http://{NOBODY}/disk'


def test_secrets_of_a_source_are_not_shown(engine, operator):
    _, task_id = fails_to_connect(engine, f'http://user:sesame@{NOBODY}/disk?token=sesame')
    assert 'sesame' not in operator.ok('imports', 'show', task_id)
    assert 'sesame' not in operator.ok('imports', 'show', task_id, '--json')
    assert 'sesame' not in operator.ok('imports', 'list', '--all', '--json')


def next_of(operator, task_id):
    return operator.document('imports', 'show', task_id)['next']


def test_it_is_said_what_holds_an_import_up(engine, operator):
    task_id = engine.post(engine.stage(1000))
    assert next_of(operator, task_id) == 'It waits: no conductor is alive.'
    conductor(engine, 'host:1:a', seen_ms=60_000)
    assert next_of(operator, task_id) == 'It waits: no conductor is alive.'
    conductor(engine, 'host:2:b', areas=['elsewhere'])
    assert next_of(operator, task_id) == (
        'It waits: no live conductor reaches its staging area. It fails within seconds.'
    )
    conductor(engine, 'host:1:a', seen_ms=12_000)
    assert 'It fails in about 18 s.' in next_of(operator, task_id)
    assert 'reached by no live conductor' in operator.ok('imports', 'show', task_id)
    conductor(engine, 'host:1:a')
    assert next_of(operator, task_id) == 'It is the next that a free conductor takes.'
    assert operator.document('imports', 'show', task_id)['reached_by'] == ['host:1:a']
    second = engine.post(engine.stage(1000))
    assert next_of(operator, second) == 'It waits for a free conductor; 1 before it in the queue.'


def test_it_is_said_who_runs_an_import_or_lost_it(engine, operator):
    conductor(engine, 'host:1:a')
    task_id = engine.post(engine.stage(1000))
    claim(engine, task_id, 'host:1:a')
    assert next_of(operator, task_id) == 'Conductor host:1:a runs it.'
    with engine.db.writer() as session:
        tasks.request_cancel(session, task_id)
    assert next_of(operator, task_id) == 'Conductor host:1:a undoes it.'
    lost = engine.post(engine.stage(1000))
    claim(engine, lost, 'host:2:b', lease_ms=-1000)
    assert 'another one resumes it' in next_of(operator, lost)
    out = operator.ok('imports', 'show', lost)
    assert 'lost 1.' in out and 'staged file' in out


def test_it_is_said_that_a_project_has_its_share(engine, operator):
    conductor(engine, 'host:1:a')
    first, second = (engine.post(engine.stage(1000)) for _ in range(2))
    with engine.db.writer() as session:
        session.execute(sa.update(models.jobs).values(project='p1'))
    claim(engine, first)
    assert 'max_per_project' in next_of(operator, second)


@pytest.mark.parametrize('action', ['show', 'cancel', 'retry'])
def test_what_cannot_be_found_is_one_sentence(engine, operator, action):
    image_id = engine.create()
    assert 'No import that can still be read' in operator.fails('imports', action, 'c0ffee')
    assert 'has no import' in operator.fails('imports', action, image_id)
    assert 'at least the first 4' in operator.fails('imports', action, 'abc')
    assert 'at least the first 4' in operator.fails('imports', action, "x' OR 1")
    wrong = '00000000-0000-4000-8000-000000000000'
    assert 'No image found' in operator.fails('imports', action, wrong)


def test_the_beginning_of_an_id_is_enough_if_it_fits_one(engine, operator):
    ids = [f'abcd{number}000-0000-4000-8000-000000000000' for number in (1, 2)]
    for image_id in ids:
        with engine.db.writer() as session:
            images.insert(session, domain.Image(image_id=image_id))
            tasks.insert(session, start.Task(f'{image_id[:8]}-beef', image_id, 'p1'))
    assert 'Several ids begin with abcd' in operator.fails('imports', 'show', 'abcd')
    assert 'abcd1000-beef' in operator.fails('imports', 'show', 'abcd1')
    assert operator.document('imports', 'show', ids[0][:12].upper())['image_id'] == ids[0]
    assert operator.document('imports', 'show', 'abcd1000-b')['id'] == 'abcd1000-beef'


# retry


def test_a_failed_import_is_posted_again_as_it_was(engine, operator):
    image_id, task_id = fails_to_connect(engine, all_stores_must_succeed=False)
    out = operator.ok('imports', 'retry', task_id[:8])
    assert out.endswith(f'of image {image_id} is posted.\n')
    old, new = engine.task(task_id), engine.task(out.split()[1])
    assert (new.plan, new.input, new.owner) == (old.plan, old.input, old.owner)
    assert new.request_id != old.request_id and new.deadline_ms > old.deadline_ms
    assert engine.image(image_id).status == domain.IMPORTING
    assert 'is not finished' in operator.fails('imports', 'retry', image_id)
    assert engine.conductor().run_pending() == 1


def test_what_did_not_fail_or_cannot_be_repeated_is_refused(engine, operator):
    done = engine.stage(1000)
    engine.post(done)
    engine.conductor().run_pending()
    assert 'has not failed' in operator.fails('imports', 'retry', done)
    secret, _ = fails_to_connect(engine, f'http://user:sesame@{NOBODY}/disk')
    sentence = operator.fails('imports', 'retry', secret)
    assert 'secrets of its URI were not kept' in sentence and 'sesame' not in sentence
    changed, _ = fails_to_connect(engine)
    with engine.db.writer() as session:
        images.update(session, changed, status=domain.UPLOADING)
    assert 'in status uploading' in operator.fails('imports', 'retry', changed)
    gone, _ = fails_to_connect(engine)
    with engine.db.writer() as session:
        images.delete(session, gone, [domain.QUEUED])
    assert 'No image found' in operator.fails('imports', 'retry', gone)


def test_a_failed_task_is_asked_again_for_the_same_image(engine, operator):
    with Origin.serving() as origin:
        task_id = engine.post_task(origin.url + '/0.raw', name='mine', tags=['lamp'])
        image_id = engine.task(task_id).image_id
        assert f'image           {image_id} (to be made)' in operator.ok('imports', 'show', task_id)
        engine.conductor().run_pending()
        assert f'image           {image_id} (not made)' in operator.ok('imports', 'show', task_id)
        assert task_id in operator.ok('imports', 'list', '--status', 'failure')
        origin.publish(b'x' * 1000)
        out = operator.ok('imports', 'retry', task_id)
        again = out.split()[1]
        old, new = engine.task(task_id), engine.task(again)
        assert (new.plan, new.input, new.owner, new.image_id) == (
            old.plan,
            old.input,
            old.owner,
            image_id,
        )
        assert 'is not finished' in operator.fails('imports', 'retry', task_id)
        engine.conductor().run_pending()
    assert engine.task(again).status == 'success'
    image = engine.image(image_id)
    assert (image.status, image.name, image.tags, image.size) == ('active', 'mine', ['lamp'], 1000)
    assert 'has not failed' in operator.fails('imports', 'retry', image_id)
    assert operator.document('imports', 'show', again)['image_status'] == 'active'


def test_what_of_tasks_cannot_be_repeated_is_refused(engine, operator):
    secret = engine.post_task(f'http://user:sesame@{NOBODY}/disk')
    gone = engine.post_task(f'http://{NOBODY}/disk')
    for _ in range(2):
        engine.conductor().run_pending()
    assert 'secrets of its URI were not kept' in operator.fails('imports', 'retry', secret)
    image_id = engine.task(gone).image_id
    with engine.db.writer() as session:
        images.insert(session, domain.Image(image_id))
        images.delete(session, image_id, [domain.QUEUED])
    assert 'was made and deleted since' in operator.fails('imports', 'retry', gone)


# cancel


def test_a_cancelled_task_is_asked_to_end(engine, operator):
    task_id = engine.post_task(f'http://{NOBODY}/disk')
    assert operator.run('imports', 'cancel', task_id, '--wait', '0')[0] == 1
    engine.conductor().run_pending()
    assert engine.task(task_id).error['code'] == 'cancelled'


def test_a_cancelled_import_is_asked_to_end(engine, operator):
    task_id = engine.post(engine.stage(1000))
    status, out, err = operator.run('imports', 'cancel', task_id, '--wait', '0')
    assert (status, out) == (1, '')
    assert 'is asked to end, but has not yet. It waits: no conductor is alive.' in err
    assert engine.task(task_id).cancel_requested
    assert 'cancelled' in operator.ok('imports', 'list')
    engine.conductor().run_pending()
    assert engine.task(task_id).error['code'] == 'cancelled'
    assert 'has ended already' in operator.fails('imports', 'cancel', task_id)


# gc


def litter(engine):
    """Leave something of some kinds behind; return two image ids."""
    store, staging = engine.services.stores.get('fast'), engine.services.staging
    kept, owner = engine.stage(1000), engine.create()
    for name in (f'{kept}.old', 'scratch.file'):
        os.close(staging.create(name))
    put(store, owner, 'left', b'12345')
    put(store, 'c0ffee00-0000-4000-8000-000000000000', 'a', b'1')
    return kept, owner


def contents(engine):
    return {
        'staging': sorted(engine.services.staging.list_files()),
        'fast': sorted(os.listdir(engine.services.stores.get('fast').directory)),
    }


def test_a_dry_run_shows_what_would_go_and_changes_nothing(engine, operator):
    kept, owner = litter(engine)
    before = contents(engine)
    out = operator.ok('gc', '--dry-run', '--grace', '0')
    assert f'would remove  staging            0 B  {kept}.old  (nothing needs it)' in out
    assert f'would remove  fast               5 B  {owner}.left  (its image has no data)' in out
    assert 'left          staging            0 B  scratch.file' in out
    assert 'Total: would remove: 2 (5 B), left: 2 (1 B).' in out
    assert contents(engine) == before


def test_what_is_left_over_is_removed(engine, operator):
    kept, _ = litter(engine)
    found = operator.document('gc', '--grace', '0')
    assert contents(engine) == {
        'staging': [f'{kept}.upload-1', 'scratch.file'],
        'fast': ['c0ffee00-0000-4000-8000-000000000000.a'],
    }
    assert found['totals'] == {
        'removed': {'count': 2, 'bytes': 5},
        'left': {'count': 2, 'bytes': 1},
    }
    operator.ok('gc', '--grace', '0', '--unknown')
    assert contents(engine) == {'staging': [f'{kept}.upload-1'], 'fast': []}
    assert operator.ok('gc', '--grace', '0').startswith('Nothing is left over.\n')


def test_young_things_are_left_alone(engine, operator):
    os.close(engine.services.staging.create(f'{engine.create()}.new'))
    put(engine.services.stores.get('fast'), engine.create(), 'a', b'1')
    assert operator.ok('gc').startswith('Nothing is left over.\n')


def test_what_cannot_be_removed_is_told(engine, operator):
    path = os.path.join(engine.services.stores.get('fast').directory, 'image.a')
    os.mkdir(path)  # in the way of removing it as a file
    with engine.db.writer() as session:
        removals.note(session, 'i', [domain.Location('fast', f'file://{path}')], in_seconds=-1)
    status, out, _ = operator.run('gc')
    assert status == 1 and out.startswith('failed ') and 'Is a directory' in out


# Help and mistakes


@pytest.mark.parametrize(
    'words', [[], ['imports'], ['db'], ['gc'], *(['imports', a] for a in ('list', 'show', 'retry'))]
)
def test_there_is_help_for_each_command(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        manage.main([*words, '--help'])
    assert stopped.value.code == 0 and 'usage: glance-lite-manage' in capsys.readouterr().out


@pytest.mark.parametrize('words', [['imports', 'list', '--status', 'x'], ['gc', '--grace', '-1']])
def test_a_wrong_argument_is_refused(words):
    with pytest.raises(SystemExit) as stopped:
        manage.main(words)
    assert stopped.value.code == 2


def test_a_configuration_that_cannot_be_read_is_told(capsys):
    assert manage.main(['--config-file', '/nonexistent', 'db', 'check'], cfg.ConfigOpts()) == 2
    assert 'nonexistent' in capsys.readouterr().err


def test_show_has_what_each_plugin_did(engine, operator):
    task_id = engine.post(engine.stage())
    receipts = [
        {'plugin': 'scan', 'version': '1.2', 'outcome': 'passed', 'seconds': 2.5, 'note': 'clean'},
        {'plugin': 'mark', 'version': None, 'outcome': 'skipped', 'seconds': 0.0, 'note': None},
    ]
    with engine.db.writer() as session:
        tasks.update(session, task_id, receipts=receipts)
    shown = operator.ok('imports', 'show', task_id)
    assert re.search(r'^receipts +scan 1\.2: passed, 2\.5 s; clean\n +mark: skipped', shown, re.M)
    assert operator.document('imports', 'show', task_id)['receipts'] == receipts
