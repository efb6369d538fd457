# SPDX-License-Identifier: Apache-2.0
"""The job board: leases by the database's clock, and a token that shuts out whoever lost one."""

import pytest

from glance_lite.db import jobs
from glance_lite.db.engine import current_ms


@pytest.fixture
def job(any_db):
    with any_db.writer() as session:
        jobs.post(session, 'j1', 'import', {'n': 1}, area='here')
        jobs.post(session, 'j2', 'import', {})
    return any_db


def listed(db, areas):
    with db.reader() as session:
        return [row.uuid for row in jobs.list_claimable(session, areas)]


def test_jobs_are_listed_in_order_where_their_bytes_can_be_reached(job):
    assert listed(job, ['here']) == ['j1', 'j2']
    assert listed(job, ['elsewhere']) == ['j2']
    assert listed(job, None) == ['j1', 'j2']


def test_a_claim_is_exclusive_until_its_lease_runs_out(job):
    with job.writer() as session:
        assert jobs.claim(session, 'j1', 0, 'me', 60_000)
        assert not jobs.claim(session, 'j1', 0, 'you', 60_000)
        assert not jobs.claim(session, 'j1', 1, 'you', 60_000)
        assert jobs.find_owner(session, 'j1') == 'me'
    assert listed(job, None) == ['j2']
    with job.writer() as session:
        assert jobs.renew(session, 'j1', 1, -1000, {'phase': 'x'})  # as if long ago
    with job.writer() as session:
        assert jobs.find_owner(session, 'j1') is None
        assert jobs.claim(session, 'j1', 1, 'you', 60_000)


def test_who_lost_the_lease_changes_nothing(job):
    with job.writer() as session:
        jobs.claim(session, 'j1', 0, 'me', -1000)
    with job.writer() as session:
        jobs.claim(session, 'j1', 1, 'you', 60_000)
    with job.writer() as session:
        assert not jobs.fence(session, 'j1', 1)
        assert not jobs.renew(session, 'j1', 1, 60_000, None)
        assert not jobs.release(session, 'j1', 1)
        assert not jobs.delete(session, 'j1', 1)
        assert jobs.fence(session, 'j1', 2)
        assert jobs.release(session, 'j1', 2)
        assert not jobs.fence(session, 'j1', 2)  # given back is given back
    assert listed(job, None) == ['j1', 'j2']


def test_the_clock_of_the_database_goes(any_db):
    with any_db.reader() as session:
        first = current_ms(session)
    assert 1_700_000_000_000 < first < 5_000_000_000_000
    with any_db.reader() as session:
        assert current_ms(session) >= first


def test_a_transaction_that_loses_a_deadlock_is_done_again(any_db):
    from oslo_db import exception as db_exception

    tries = []

    def work(session):
        tries.append(1)
        jobs.post(session, 'once', 'import', {})
        if len(tries) < 3:
            raise db_exception.DBDeadlock
        return 'done'

    assert any_db.transact(work) == 'done'
    assert (len(tries), listed(any_db, None)) == (3, ['once'])
