# SPDX-License-Identifier: Apache-2.0
"""Following an import by its task."""

import io

import pytest

from glance_lite.client import watch
from glance_lite.client.display import Display
from glance_lite.client.errors import ClientError, ServiceRefused


class View:
    """Shows one task after another; an exception among them is raised."""

    def __init__(self, tasks, final_status='active'):
        self.tasks, self.status, self.final_status = list(tasks), 'importing', final_status

    def list_tasks(self, image_id):
        shown = self.tasks.pop(0) if len(self.tasks) > 1 else self.tasks[0]
        if isinstance(shown, Exception):
            raise shown
        if shown is None:
            return []
        if shown['status'] in ('success', 'failure'):
            self.status = self.final_status
        return [{'id': 't', 'type': 'api_image_import', **shown}]

    def get_image(self, image_id):
        if self.status is None:
            raise ServiceRefused('No image found.', 404)
        return {'id': image_id, 'status': self.status}


def running(phase, done=0, total=None, phases=(), attempt=1):
    progress = {
        'phase': phase,
        'bytes_done': done,
        'bytes_total': total,
        'attempt': attempt,
        'phases': [{'phase': name, 'bytes_done': 0, 'seconds': 0.0} for name in phases],
    }
    return {'status': 'processing', 'progress': progress}


class Time:
    """A clock that sleeping moves."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds

    def clock(self):
        return self.now


def follow(view, task_id='t', live=False):
    stream, time = io.StringIO(), Time()
    display = Display(stream, clock=time.clock, live=live)
    outcome = watch.follow(view, 'i', task_id, display, sleep=time.sleep, clock=time.clock)
    seen = [line.split()[0] for line in stream.getvalue().splitlines() if line.split()]
    return outcome, seen, stream.getvalue()


def test_every_phase_is_shown_once_in_order():
    names = ['confirm-claim', 'use-staged', 'copy-to-store:fast', 'complete-task']
    outcome, seen, _ = follow(
        View(
            [
                {'status': 'pending', 'progress': None},
                running('use-staged', phases=names[:1]),
                running('copy-to-store:fast', 5, 10, phases=names[:2]),
                {**running('complete-task', phases=names[:3]), 'status': 'success'},
            ]
        )
    )
    assert seen == names
    assert outcome.is_active and outcome.error == {}


def test_waiting_shows_how_many_come_first_and_is_no_interruption():
    waiting = [{**running('waiting', attempt=0), 'status': 'pending'} for _ in range(2)]
    waiting[0]['progress']['position'], waiting[1]['progress']['position'] = 3, 1
    end = {**running('complete-task', phases=['confirm-claim']), 'status': 'success'}
    outcome, _, written = follow(View([*waiting, end]), live=True)
    assert outcome.is_active and 'interrupted' not in written
    assert 'waiting, 2 before it' in written and 'waiting for a worker' in written


def test_an_import_that_was_over_before_the_first_look_still_tells_its_phases():
    names = ['confirm-claim', 'use-staged', 'complete-task']
    _, seen, _ = follow(
        View(
            [
                {**running('complete-task', phases=names[:2]), 'status': 'success'},
            ]
        )
    )
    assert seen == names


def test_a_service_without_progress_is_followed_by_status():
    outcome, seen, _ = follow(
        View(
            [
                {'status': 'pending'},
                {'status': 'processing'},
                {'status': 'success'},
            ]
        )
    )
    assert outcome.is_active and seen == []


def test_a_resumed_import_says_so_and_shows_its_phases_again():
    _, seen, written = follow(
        View(
            [
                running('download', 5, 10, phases=['confirm-claim']),
                running('download', 1, 10, phases=['confirm-claim'], attempt=2),
                {
                    **running('complete-task', phases=['confirm-claim', 'download'], attempt=2),
                    'status': 'success',
                },
            ]
        )
    )
    assert 'The import was interrupted and goes on.' in written
    assert seen.count('confirm-claim') == 2


def test_a_failure_has_the_phase_the_message_and_the_error():
    error = {'code': 'plugin_rejected', 'phase': 'run-plugin:scan', 'retryable': False}
    outcome, _, written = follow(
        View(
            [
                {
                    **running('run-plugin:scan'),
                    'status': 'failure',
                    'message': 'virus',
                    'error': error,
                },
            ],
            'queued',
        )
    )
    assert not outcome.is_active
    assert (outcome.error, outcome.message) == (error, 'virus')
    assert 'run-plugin:scan        failed' in written


def test_an_image_deleted_meanwhile_ends_the_watch():
    outcome, _, _ = follow(View([ServiceRefused('No image found.', 404)]))
    assert outcome.image is None and not outcome.is_active


def test_an_image_without_any_import_is_shown_as_it_is():
    view = View([None])
    view.status = 'queued'
    outcome, _, _ = follow(view, None)
    assert outcome.image['status'] == 'queued' and not outcome.is_active


def test_a_service_that_restarts_is_waited_for():
    away = ClientError('The image service cannot be reached.', temporary=True)
    outcome, _, written = follow(View([running('download'), away, away, {'status': 'success'}]))
    assert outcome.is_active
    assert written.count('Still trying') == 1


def test_a_service_that_stays_away_is_given_up():
    away = ClientError('The image service cannot be reached.', temporary=True)
    with pytest.raises(ClientError, match='cannot be reached'):
        follow(View([away]))


def test_a_refusal_is_not_waited_out():
    with pytest.raises(ServiceRefused, match='not allowed'):
        follow(View([ServiceRefused('not allowed', 403)]))


def test_the_running_import_is_preferred_to_a_later_record():
    tasks = [
        {'id': 'a', 'type': 'api_image_import', 'status': 'processing', 'created_at': '1'},
        {'id': 'b', 'type': 'api_image_import', 'status': 'failure', 'created_at': '2'},
        {'id': 'c', 'type': 'export', 'status': 'processing', 'created_at': '3'},
    ]
    assert watch.newest_import(tasks, None)['id'] == 'a'
    assert watch.newest_import(tasks[1:], None)['id'] == 'b'
    assert watch.newest_import(tasks, 'b')['id'] == 'b'
    assert watch.newest_import([], None) is None
