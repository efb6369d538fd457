# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: new rules hold in every process at once, or nothing changes; nobody is disconnected."""

import re
import signal
import subprocess
import threading

import pytest

from tests.functional.processes import free_port, program, running, wait_for
from tests.functional.service import service, write_config
from tests.functional.sources import source

RULES = '''
[DEFAULT]
workers = 2
{more}
[import_filtering_opts]
allowed_ports =
permitted_networks = {networks}
[image_import_opts]
image_import_plugins = inject_image_metadata, no_op
[inject_metadata_properties]
inject = {inject}
ignore_user_roles =
'''
OPEN, CLOSED = '127.0.0.0/8', ''
DONE = 'The configuration is reloaded'
REFUSED = 'The configuration is not reloaded, and everything stays as it was'
CHECKED = ('SIGHUP goes on', 'SIGHUP goes no further')


def rules(networks=OPEN, inject='colour:red', more=''):
    return RULES.format(networks=networks, inject=inject, more=more)


class Reloadable:
    """A running service, and its file as it was without the rules."""

    def __init__(self, api):
        self.api = api
        self.log = api.process.text
        self.now = rules()
        self.rest = api.config.read_text().removesuffix(self.now)

    def hang_up(self, text, awaited, count=1):
        """Write rules, send SIGHUP and wait until a line was logged so often; return the log."""
        start = len(self.log())
        self.now = text
        new = self.api.config.with_suffix('.new')
        new.write_text(self.rest + text)
        new.rename(self.api.config)
        self.api.process.popen.send_signal(signal.SIGHUP)
        # the check first: lines of the processes may also follow the signal before this one
        wait_for(lambda: any(end in self.log()[start:] for end in CHECKED), 20, 'the check')
        wait_for(lambda: self.log()[start:].count(awaited) >= count, 20, awaited)
        return self.log()[start:]

    def reload(self, **changed):
        """Put rules into force in both workers and the conductor; return what was logged."""
        return self.hang_up(rules(**changed), DONE, 3)

    def ask_both_workers(self, ask):
        """Call until either worker has answered several times; return the set of answers."""
        start, answers = len(self.log()), set()
        workers = dict(re.findall(r'Started (api\[.\]) as process (\d+)', self.log())).values()

        def answered():
            answers.add(ask())
            lines = re.findall(r' (\d+) INFO glance_lite.middleware.envelope', self.log()[start:])
            return all(lines.count(worker) >= 3 for worker in workers)

        wait_for(answered, 30, 'an answer of both workers')
        return answers


@pytest.fixture(scope='module')
def running_service(tmp_path_factory):
    with service(tmp_path_factory.mktemp('reload'), extra=rules()) as api:
        wait_for(lambda: 'runs imports' in api.process.text(), 30, 'the conductor')
        yield Reloadable(api)


@pytest.fixture
def reloadable(running_service):
    """A service with the rules of the beginning; all tests use the same one."""
    yield running_service
    if running_service.now != rules():
        running_service.reload()


def test_filter_properties_and_limits_change_in_every_process(reloadable):
    api = reloadable.api

    def post(image_id=None):
        image_id = image_id or api.create()
        return api.post_import(image_id, 'web-download', {'uri': f'{found.url}/disk'})

    with source(b'x' * 5000) as found:
        first = api.create()
        assert post(first).status_code == 202
        assert api.wait(first)['status'] == 'success'
        assert api.image(first)['colour'] == 'red'

        text = reloadable.reload(networks=CLOSED, inject='colour:blue', more='image_size_cap = 10')
        assert "[import_filtering_opts] permitted_networks = [] (was ['127.0.0.0/8'])" in text
        assert 'image_size_cap = 10 (was 1099511627776)' in text
        assert '[inject_metadata_properties] inject = colour:blue (was colour:red)' in text
        assert text.count('Reloading the configuration: ') == 3 and 'WARNING' not in text
        assert reloadable.ask_both_workers(lambda: post().status_code) == {400}
        refused = reloadable.ask_both_workers(
            lambda: api.put(api.create(), b'y' * 11, 'file').status_code
        )
        assert refused == {413}
        small = api.create()
        assert api.put(small, b'y' * 10).status_code == 204
        assert api.post_import(small).status_code == 202
        assert api.wait(small)['status'] == 'success'
        assert api.image(small)['colour'] == 'blue'

        reloadable.reload(inject='shape:round')
        assert reloadable.ask_both_workers(lambda: post().status_code) == {202}
        again = api.create()
        assert post(again).status_code == 202
        assert api.wait(again)['status'] == 'success'
        image = api.image(again)
        assert image['shape'] == 'round' and 'colour' not in image


@pytest.mark.parametrize(
    ('changed', 'named'),
    [
        ({'networks': '10.0.0.0/8/9'}, 'permitted_networks'),
        ({'inject': 'no-value'}, '[inject_metadata_properties] inject'),
        ({'more': 'image_property_quota = few'}, 'image_property_quota'),
    ],
)
def test_an_invalid_file_changes_nothing_and_is_told_once(reloadable, changed, named):
    api = reloadable.api
    text = reloadable.hang_up(rules(**{'more': 'image_size_cap = 10'} | changed), REFUSED)
    assert api.put(api.create(), b'y' * 11, 'file').status_code == 204
    # a good file afterwards: whatever the bad one did is done by now
    text += reloadable.reload(more='image_size_cap = 20')
    assert 'Traceback' not in text and 'restarting' not in text
    (line,) = [line for line in text.splitlines() if ' ERROR ' in line]
    assert named in line
    assert api.put(api.create(), b'y' * 21, 'file').status_code == 413


def first_worker(reloadable):
    return re.findall(r'Started api\[1\] as process (\d+)', reloadable.log())[-1]


def test_a_restarted_worker_has_the_rules_of_the_others(reloadable):
    api = reloadable.api
    reloadable.reload(more='image_size_cap = 10')
    victim = first_worker(reloadable)
    subprocess.run(['kill', '-KILL', victim], check=True)
    wait_for(lambda: first_worker(reloadable) != victim, 20, 'the new worker')
    new = first_worker(reloadable)
    wait_for(lambda: f' {new} INFO glance_lite.deploy' in reloadable.log(), 20, 'its services')
    text = reloadable.hang_up(rules(more='image_size_cap = 10'), 'nothing changed')
    assert DONE not in text
    start = len(reloadable.log())

    def refused():
        assert api.put(api.create(), b'y' * 11, 'file').status_code == 413
        return re.search(rf' {new} INFO \S+envelope .* PUT ', reloadable.log()[start:])

    wait_for(refused, 20, 'a refusal of the new worker')


def test_a_running_upload_is_not_disturbed_and_its_limit_stays(reloadable):
    api = reloadable.api
    image_id = api.create()
    reloaded = threading.Event()
    pieces = [b'z' * 100_000] * 20

    def slowly():
        yield from pieces[:10]
        assert reloaded.wait(30)
        yield from pieces[10:]

    answers = []
    upload = threading.Thread(target=lambda: answers.append(api.put(image_id, slowly(), 'file')))
    upload.start()
    wait_for(lambda: api.image(image_id)['status'] == 'saving', 20, 'the upload')
    text = reloadable.reload(more='image_size_cap = 10')
    reloaded.set()
    upload.join(30)
    assert [answer.status_code for answer in answers] == [204]
    assert api.image(image_id)['size'] == 2_000_000
    assert text.count('Started ') == 1, 'only the check is a new process'


def test_what_needs_a_restart_is_named_and_stays(reloadable):
    api = reloadable.api
    text = reloadable.hang_up(
        rules(more='bind_port = 1\nimage_tag_quota = 1\ndebug = true')
        + '[keystone_authtoken]\nusername = other\npassword = sesame\n'
        + '[image_import_opts]\nimage_import_plugins = no_op\n',
        DONE,
        3,
    )
    postponed = re.findall(r'WARNING \S+ \[.*?\] (.*) was changed; it takes effect', text)
    assert set(postponed) == {
        'bind_port',
        '[image_import_opts] image_import_plugins',
        '[keystone_authtoken] username',
        '[keystone_authtoken] password',
    }
    assert 'sesame' not in text
    assert api.request('GET', '/v2/images').status_code == 200, 'the port is the old one'
    answer = api.request('POST', '/v2/images', json={'tags': ['a', 'b']})
    assert answer.status_code == 413
    image_id = api.create()
    api.put(image_id, b'y')
    api.post_import(image_id)
    assert api.wait(image_id)['status'] == 'success'
    assert api.image(image_id)['colour'] == 'red', 'the plugins are the old ones'
    assert ' DEBUG glance_lite.image_import.plugins.no_op ' in reloadable.log()


def test_a_conductor_on_its_own_reloads_too(tmp_path):
    with service(tmp_path, extra=rules(more='api_only = true')) as api:
        config = ['--config-file', str(api.config)]
        log = tmp_path / 'conductor.log'
        with running([program('glance-lite-conductor'), *config], log) as conductor:
            wait_for(lambda: 'runs imports' in conductor.text(), 30, 'the conductor')
            text = api.config.read_text()

            def hang_up(new, awaited):
                api.config.write_text(new)
                conductor.popen.send_signal(signal.SIGHUP)
                wait_for(lambda: awaited in conductor.text(), 20, awaited)

            hang_up(text.replace('colour:red', 'colour'), REFUSED)
            hang_up(text.replace('colour:red', 'colour:green'), DONE)
            hang_up(text.replace('colour:red', 'colour:green'), 'nothing changed')
            image_id = api.create()
            api.put(image_id, b'y')
            api.post_import(image_id)
            assert api.wait(image_id)['status'] == 'success'
            assert api.image(image_id)['colour'] == 'green'
            assert conductor.text().count(' ERROR ') == 1
            assert conductor.stop() == 0


def test_a_hangup_while_the_service_starts_is_kept_until_it_listens(tmp_path):
    write_config(tmp_path, free_port(), f'sqlite:///{tmp_path}/db.sqlite', rules())
    config = ['--config-file', str(tmp_path / 'glance-api.conf')]
    with running([program('glance-lite-api'), *config], tmp_path / 'again.log') as process:
        status = f'/proc/{process.popen.pid}/status'
        mask = 1 << (signal.SIGHUP - 1)

        def holds_back():
            with open(status) as file:
                return int(re.search(r'SigBlk:\s*(\w+)', file.read())[1], 16) & mask

        wait_for(holds_back, 20, 'the program')
        process.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: 'nothing changed' in process.text(), 30, 'the reload')
        assert process.stop() == 0
