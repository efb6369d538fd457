# SPDX-License-Identifier: Apache-2.0
"""Plugins run as their sections say, and a receipt of each stays with the task."""

import os
import threading
import time

import pytest
from taskflow import task

from glance_lite import exceptions
from glance_lite.domain import image as domain
from glance_lite.plugin.loader import About, PluginSet
from glance_lite.plugin.settings import Settings, parse_conditions
from tests.engine import Engine
from tests.unit.conductor.test_patience import Running, until


class Plugins:
    """Makes an engine with plugins that call functions, and settings for them."""

    def __init__(self, make_conf):
        self._conf = make_conf()
        self.undone = []

    def engine(self, settings=None, **functions):
        about = {
            name: About('dist', '1.2', self.settings(**values))
            for name, values in (settings or {}).items()
        }
        plugins = {name: self._get_flow(function) for name, function in functions.items()}
        return Engine(self._conf, PluginSet(plugins, about=about))

    def settings(self, when='', **values):
        return Settings(parse_conditions(when, self._conf), **values)

    def _get_flow(self, function):
        undone = self.undone

        def get_flow(**arguments):
            class Plugin(task.Task):
                default_provides = 'file_path'

                def execute(self, file_path):
                    return function(arguments, file_path.removeprefix('file://'))

                def revert(self, result, **kwargs):
                    undone.append(result)

            return Plugin('plugin')

        return get_flow


@pytest.fixture
def plugins(make_conf):
    return Plugins(make_conf)


def run(engine, **plan):
    image_id = engine.stage(5000)
    task_id = engine.post(image_id, **plan)
    engine.conductor().run_pending()
    return engine.image(image_id), engine.task(task_id)


def outcomes(done):
    return [(each['plugin'], each['outcome']) for each in done.receipts]


def nothing(arguments, path):
    return None


def fails(arguments, path):
    raise RuntimeError(f'no scanner at {os.path.dirname(path)}/socket')


def refuses(arguments, path):
    raise exceptions.ImageRejected('No such images here.')


def overwrites(arguments, path):
    with open(path, 'r+b') as file:
        file.write(b'other bytes')
    raise RuntimeError('half done')


def removes(arguments, path):
    os.unlink(path)
    raise RuntimeError('and gone')


def test_the_receipts_tell_what_each_plugin_did_in_order(plugins):
    engine = plugins.engine({'b': {'when': 'disk_format = iso'}}, b=fails, a=nothing)
    image, done = run(engine)
    assert image.status == domain.ACTIVE
    skipped, passed = done.receipts
    assert skipped == {
        'plugin': 'b',
        'distribution': 'dist',
        'version': '1.2',
        'outcome': 'skipped',
        'seconds': 0.0,
        'note': 'Not run: its conditions ask for another disk_format.',
    }
    assert (passed['plugin'], passed['outcome'], passed['note']) == ('a', 'passed', None)
    assert passed['seconds'] >= 0


def test_the_receipt_of_a_failure_is_fit_for_the_owner(plugins):
    image, done = run(plugins.engine(a=nothing, b=fails, c=nothing))
    assert image.status == domain.UPLOADING
    assert outcomes(done) == [('a', 'passed'), ('b', 'failed')]
    assert done.receipts[1]['note'] == 'no scanner at socket'


def test_conditions_see_what_the_plugins_before_left(plugins):
    def grows(arguments, path):
        with arguments['action_wrapper'] as action:
            action.set_image_attribute(disk_format='iso')
        with open(f'{path}.new', 'wb') as file:
            file.write(bytes(9000))
        return f'file://{path}.new'

    when = {'b': {'when': 'size > 8 KiB, disk_format = iso'}, 'c': {'when': 'size < 8 KiB'}}
    _, done = run(plugins.engine(when, a=grows, b=fails, c=nothing))
    assert outcomes(done) == [('a', 'passed'), ('b', 'failed')]


@pytest.mark.parametrize(
    ('when', 'runs'),
    [
        ('role = member', True),
        ('role = admin', False),
        ('project = p1', True),
        ('method = web-download', False),
        ('size >= 5000', True),
        ('size > 5000', False),
    ],
)
def test_a_plugin_runs_for_those_whom_its_conditions_name(plugins, when, runs):
    _, done = run(plugins.engine({'a': {'when': when}}, a=nothing))
    assert outcomes(done) == [('a', 'passed' if runs else 'skipped')]


def test_what_was_skipped_is_not_undone(plugins):
    settings = {'a': {'when': 'role = admin'}}
    _, done = run(plugins.engine(settings, a=nothing, b=nothing, c=fails))
    assert outcomes(done) == [('a', 'skipped'), ('b', 'passed'), ('c', 'failed')]
    assert len(plugins.undone) == 2


def test_a_warning_lets_the_import_go_on_after_it_was_undone(plugins):
    image, done = run(plugins.engine({'a': {'on_error': 'warn'}}, a=fails, b=nothing))
    assert (image.status, done.error) == (domain.ACTIVE, None)
    assert outcomes(done) == [('a', 'warned'), ('b', 'passed')]
    assert done.receipts[0]['note'] == 'no scanner at socket'
    [failure] = plugins.undone
    assert 'no scanner' in failure.exception_str


@pytest.mark.parametrize(
    ('function', 'outcome'), [(refuses, 'refused'), (overwrites, 'failed'), (removes, 'failed')]
)
def test_no_warning_saves_an_image_that_is_refused_or_damaged(plugins, function, outcome):
    image, done = run(plugins.engine({'a': {'on_error': 'warn'}}, a=function))
    assert done.status == 'failure' and image.status != domain.ACTIVE
    assert outcomes(done) == [('a', outcome)]


def test_a_warning_is_not_for_plugins_of_several_steps(plugins):
    def get_flow(**arguments):
        from taskflow.patterns import linear_flow

        class Step(task.Task):
            def execute(self):
                return None

        return linear_flow.Flow('two').add(Step('one'), Step('other'))

    engine = plugins.engine({'a': {'on_error': 'warn'}})
    engine.services.plugins._plugins['a'] = get_flow
    _, done = run(engine)
    assert done.error['code'] == 'plugin_failed'
    assert '[import_plugin:a] on_error: warn is for plugins of one step' in done.message


def slow(release):
    def function(arguments, path):
        for _ in range(3000):
            arguments['action_wrapper'].advance(0)
            if release.wait(0.01):
                return

    return function


@pytest.mark.parametrize(
    ('on_error', 'status', 'outcome'),
    [('fail', 'failure', 'failed'), ('warn', 'success', 'warned')],
)
def test_a_plugin_that_takes_longer_than_its_timeout_ends(plugins, on_error, status, outcome):
    settings = {'a': {'timeout': 1, 'on_error': on_error}}
    release = threading.Event()
    began = time.monotonic()
    _, done = run(plugins.engine(settings, a=slow(release)))
    assert time.monotonic() - began < 20
    assert done.status == status and outcomes(done) == [('a', outcome)]
    assert 'longer than' in done.receipts[0]['note']
    if status == 'failure':
        assert (done.error['code'], done.error['plugin']) == ('stalled', 'a')


def test_a_deaf_plugin_over_its_timeout_is_left_alone(plugins):
    release = threading.Event()
    engine = plugins.engine(
        {'a': {'timeout': 1, 'on_error': 'warn'}}, a=lambda arguments, path: release.wait(60)
    )
    with Running(engine):
        task_id = engine.post(engine.stage())
        until(lambda: engine.task(task_id).status == 'failure', 30)
        release.set()
    assert (engine.task(task_id).error['code'], engine.task(task_id).error['plugin']) == (
        'stalled',
        'a',
    )


def test_a_timeout_stands_in_place_of_the_general_patience(make_conf):
    plugins = Plugins(lambda: make_conf('[import]\nplugin_timeout = 1\n'))
    engine = plugins.engine(
        {'a': {'timeout': 60}}, a=lambda arguments, path: time.sleep(3.5) or None
    )
    with Running(engine):
        task_id = engine.post(engine.stage())
        until(lambda: engine.task(task_id).status in ('success', 'failure'), 30)
    assert engine.task(task_id).status == 'success'
