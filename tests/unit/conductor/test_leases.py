# SPDX-License-Identifier: Apache-2.0
"""Who lost the lease writes nothing more, and whoever has it finishes the import."""

import pytest
import sqlalchemy as sa
from taskflow import task

from glance_lite import exceptions
from glance_lite.db import jobs, models
from glance_lite.jobs.lease import Lease
from glance_lite.plugin.loader import PluginSet
from tests.engine import Engine


def expire(engine, task_id):
    """Let the lease of a job run out, whoever has it."""
    with engine.db.writer() as session:
        session.execute(
            sa.update(models.jobs).where(models.jobs.c.uuid == task_id).values(expires_ms=1)
        )


def take_over(engine, task_id):
    """Let another conductor claim the job of a task, as if its lease had run out."""
    expire(engine, task_id)
    with engine.db.writer() as session:
        gen = jobs.get(session, task_id).gen
        assert jobs.claim(session, task_id, gen, 'another', 60_000)


def test_a_lease_ends_by_itself():
    lease = Lease('j', 1, 60)
    lease.check()
    lease.renewed(asked_at=-1e9)  # as after a long stop of this process
    with pytest.raises(exceptions.LeaseLost):
        lease.check()
    lease.renewed(asked_at=1e9)
    assert not lease.held  # once lost, lost


def test_a_lost_lease_is_no_failure_to_taskflow():
    assert not issubclass(exceptions.LeaseLost, Exception)


@pytest.mark.parametrize('knows', [True, False])
def test_an_import_that_was_taken_over_is_finished_by_the_other(make_conf, database_url, knows):
    engine = Engine(make_conf(connection=database_url))
    attempts = []

    def get_flow(task_id, action_wrapper, **arguments):
        class Plugin(task.Task):
            def execute(self):
                attempts.append(task_id)
                if len(attempts) == 1:
                    take_over(engine, task_id)
                    if knows:  # the heartbeat noticed
                        first._heartbeat.beat()

        return Plugin('p')

    engine.services.plugins._plugins['p'] = get_flow
    image_id = engine.stage()
    task_id = engine.post(image_id, plugins=['p'])
    first = engine.conductor()
    first.run_pending()
    # nothing was decided by the conductor that lost it
    assert engine.image(image_id).status == 'importing'
    assert engine.task(task_id).status == 'processing'
    with engine.db.reader() as session:
        assert jobs.find_owner(session, task_id) == 'another'
    expire(engine, task_id)
    engine.conductor().run_pending()
    assert engine.task(task_id).status == 'success'
    assert engine.task(task_id).attempts == 2
    image, left = engine.image(image_id), engine.leftovers()
    assert image.status == 'active' and len(image.locations) == len(left['fast']) == 1
    assert image.locations[0].url.endswith(left['fast'][0])
    assert (left['jobs'], left['flows'], left['staging']) == (0, 0, [])
    engine.db.dispose()


def test_a_conductor_told_to_stop_leaves_the_import_to_others(make_conf):
    engine = Engine(make_conf())

    def get_flow(**arguments):
        class Plugin(task.Task):
            def execute(self):
                first.hand_over()

        return Plugin('p')

    engine.services.plugins._plugins['p'] = get_flow
    image_id = engine.stage()
    task_id = engine.post(image_id, plugins=['p'])
    first = engine.conductor()
    job = next(first._jobboard.iterjobs())
    first._jobboard.claim(job, 'me')
    first._finish(job, first._dispatch_job(job))
    assert engine.task(task_id).status == 'processing'
    with engine.db.reader() as session:
        assert jobs.find_owner(session, task_id) is None  # free at once, not after the lease
    engine.services.plugins._plugins['p'] = lambda **kw: _Nothing('p')
    engine.conductor().run_pending()
    assert engine.image(image_id).status == 'active'


class _Nothing(task.Task):
    def execute(self):
        return None


def test_plugins_of_the_plan_decide_not_those_of_the_conductor(make_conf):
    engine = Engine(make_conf(), PluginSet({'a': lambda **kw: _Nothing('x')}))
    image_id = engine.stage()
    task_id = engine.post(image_id, plugins=[])
    engine.conductor().run_pending()
    phases = [phase['phase'] for phase in engine.task(task_id).progress['phases']]
    assert engine.image(image_id).status == 'active' and 'run-plugin:a' not in phases


def test_the_journal_of_a_flow_is_closed_to_who_lost_it(make_conf, database_url):
    engine = Engine(make_conf(connection=database_url))
    task_id = engine.post(engine.stage())
    conductor = engine.conductor()
    board = conductor._jobboard
    job = next(board.iterjobs())
    board.claim(job, 'me')
    run = conductor._begin(job)
    journal = conductor._storage.journal(run)
    journal._at_once = True
    take_over(engine, task_id)  # and this process does not know
    with pytest.raises(exceptions.LeaseLost):
        journal.update_flow_details(journal.detail)
    assert engine.leftovers()['flows'] == 0
    engine.db.dispose()
