# SPDX-License-Identifier: Apache-2.0
"""What every board must do for us, on a real server of each kind."""

import threading
import time

import pytest
from taskflow import exceptions as taskflow_exceptions

from glance_lite.jobs import address
from glance_lite.jobs.doorbell import BoardDown, Doorbell
from tests.functional.board_servers import SERVERS, board_server
from tests.functional.processes import wait_for

#: Seconds of a claim; the sessions of ZooKeeper are not shorter than two of its ticks.
CLAIM = 2.0


@pytest.fixture(scope='module', params=SERVERS)
def server(request, tmp_path_factory):
    with board_server(request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture(params=SERVERS)
def kind(request):
    return request.param


@pytest.fixture
def connect(server, request):
    """Return a function that connects to a board which this test has for itself."""
    bells = []
    place = f'{request.node.name}{time.monotonic_ns()}'.replace('[', '-').replace(']', '')
    url = server.url + (f'?namespace={place}' if server.kind == 'redis' else f'/{place}/jobs')

    def make():
        bell = Doorbell(address.parse_url(server.kind, url), CLAIM)
        bells.append(bell)
        assert bell.connect()
        return bell

    yield make
    for bell in bells:
        bell.close()


def find(bell, task_id):
    """Return an unclaimed entry as soon as the board shows it."""

    def look():
        found.extend(e for e in bell.list_unclaimed() if e.details['task_id'] == task_id)
        return found

    found = []
    wait_for(look, 5, f'an entry of {task_id}')
    return found[0]


def test_entries_come_oldest_first_to_everyone(connect):
    api, conductor = connect(), connect()
    for number in range(15):
        api.post(f't{number}', 'here')
    find(conductor, 't14')
    listed = [entry.details for entry in conductor.list_unclaimed()]
    assert listed == [{'task_id': f't{number}', 'area': 'here'} for number in range(15)]
    assert list(conductor.list_all()) == [f't{number}' for number in range(15)]


def test_one_of_many_gets_an_entry(connect):
    bells = [connect() for _ in range(4)]
    bells[0].post('t', None)
    entries = [find(bell, 't') for bell in bells]
    won = []
    threads = [
        threading.Thread(target=lambda b=bell, e=entry, n=number: won.append(b.claim(e, f'c{n}')))
        for number, (bell, entry) in enumerate(zip(bells, entries, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    assert not list(bells[0].list_unclaimed()) and list(bells[1].list_all()) == ['t']


def test_who_claims_again_keeps_the_claim(connect):
    bell = connect()
    bell.post('t', None)
    entry = find(bell, 't')
    assert bell.claim(entry, 'me') and bell.claim(entry, 'me')
    assert not bell.claim(entry, 'another')


def test_a_claim_ends_by_itself_when_its_holder_is_gone(connect, server):
    dead, living = connect(), connect()
    dead.post('t', None)
    entry = find(dead, 't')
    assert dead.claim(entry, 'dead')
    assert not list(living.list_unclaimed())
    if server.kind == 'zookeeper':
        dead.close()  # a session of this process does not end as that of a dead one would
    took = wait_for(lambda: list(living.list_unclaimed()), 3 * CLAIM, 'the end of the claim')
    assert server.kind == 'zookeeper' or took > CLAIM / 2
    assert living.claim(find(living, 't'), 'living')


def test_a_prolonged_claim_lasts(connect):
    bell, other = connect(), connect()
    bell.post('t', None)
    entry = find(bell, 't')
    assert bell.claim(entry, 'me')
    end = time.monotonic() + 2 * CLAIM
    while time.monotonic() < end:
        assert bell.extend(entry, 'me')
        assert not list(other.list_unclaimed())
        time.sleep(0.2)


def test_a_claim_given_back_and_taken_again_can_be_prolonged(connect):
    bell = connect()
    bell.post('t', None)
    for _ in range(2):
        entry = find(bell, 't')
        assert bell.claim(entry, 'me') and bell.extend(entry, 'me')
        bell.abandon(entry, 'me')
    assert not bell.extend(find(bell, 't'), 'me')


def test_nobody_prolongs_or_removes_the_claim_of_another(connect):
    bell = connect()
    bell.post('t', None)
    entry = find(bell, 't')
    assert bell.claim(entry, 'me')
    assert not bell.extend(entry, 'another')
    bell.remove(entry, 'another')
    bell.abandon(entry, 'another')
    assert bell.is_up and list(bell.list_all()) == ['t'] and bell.extend(entry, 'me')


def test_a_removed_entry_is_gone_and_takes_no_other_with_it(connect):
    bell = connect()
    for number in range(12):
        bell.post(f't{number}', None)
    entry = find(bell, 't0')
    assert bell.claim(entry, 'me')
    bell.remove(entry, 'me')
    assert sorted(bell.list_all()) == sorted(f't{number}' for number in range(1, 12))
    assert not bell.claim(entry, 'me')
    bell.remove(entry, 'me')  # again is the same


def test_jobs_of_others_are_left_alone(connect):
    bell = connect()
    bell._board.post('of another program', details={'n': 1})
    bell.post('t', None)
    find(bell, 't')
    assert list(bell.list_all()) == ['t']


def test_a_server_that_goes_away_is_noticed_and_met_again_empty(tmp_path, kind):
    with board_server(kind, tmp_path) as server:
        bell = Doorbell(address.parse_url(kind, server.url), CLAIM)
        assert bell.connect()
        bell.post('t', None)
        entry = find(bell, 't')
        assert bell.claim(entry, 'me')
        server.kill()
        wait_for(lambda: not rings(bell), 10, 'that the bell is down')
        start = time.monotonic()
        assert not bell.is_up and not bell.connect()
        for use in (bell.list_all, lambda: bell.post('t', None), lambda: bell.extend(entry, 'me')):
            with pytest.raises(BoardDown):
                use()
        assert time.monotonic() - start < 15
        server.forget()
        server.start()
        assert bell.connect() and bell.list_all() == {}
        bell.post('t', None)
        assert bell.claim(find(bell, 't'), 'me')
        bell.close()


def rings(bell):
    try:
        return list(bell.list_all()) is not None
    except BoardDown:
        return False


def test_taskflow_still_raises_what_is_relied_on(connect):
    """A claim of another has no cause below it; trouble with the server has one."""
    bell = connect()
    bell.post('t', None)
    entry = find(bell, 't')
    assert bell.claim(entry, 'me')
    with pytest.raises(taskflow_exceptions.JobFailure) as found:
        bell._board.consume(entry, 'another')
    assert found.value.cause is None
