# SPDX-License-Identifier: Apache-2.0
"""Plugins written for Glance, installed as a stranger's are, run unmodified.

They are a distribution of their own: ``pip install tests/fixture_plugins``.
"""

import gzip
import hashlib
import importlib.metadata
import itertools

import pytest
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.testing import images
from glance_lite.testing.plugins import ImportPluginContract
from glance_lite.testing.trial import Trial
from tests import services

DISTRIBUTION = 'glance-lite-fixture-plugins'


@pytest.fixture(autouse=True)
def installed():
    """Require the distribution."""
    try:
        importlib.metadata.distribution(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        services.missing(f'{DISTRIBUTION} is not installed: pip install tests/fixture_plugins')


@pytest.fixture
def source(tmp_path):
    return images.write_qcow2(tmp_path / 'source.qcow2')


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a service with the plugins named."""
    started = []

    def start(*plugins, **kwargs):
        directory = tmp_path / f'service-{len(started)}'
        directory.mkdir()
        started.append(Trial(directory, plugins, **kwargs))
        return started[-1]

    yield start
    for trial in started:
        trial.close()


class TestNoOp(ImportPluginContract):
    plugin_name = 'no_op'


class TestInjectImageMetadata(ImportPluginContract):
    plugin_name = 'inject_image_metadata'
    options = {'inject_metadata_properties': {'inject': '"tier":"gold, or \\"better\\"",zone:a:b'}}


class TestOldShape(ImportPluginContract):
    plugin_name = 'old_shape'

    def make_conf(self):
        return cfg.CONF


class TestNewShape(ImportPluginContract):
    plugin_name = 'new_shape'


class TestBareTask(ImportPluginContract):
    plugin_name = 'bare_task'


class TestReturnsNone(ImportPluginContract):
    plugin_name = 'returns_none'


class TestOldTransformer(ImportPluginContract):
    plugin_name = 'old_transformer'


class TestTransformer(ImportPluginContract):
    plugin_name = 'transformer'


class TestInPlace(ImportPluginContract):
    plugin_name = 'in_place'
    image = {'disk_format': 'raw', 'container_format': 'bare'}

    def make_source(self, directory):
        disk = images.write_raw(directory / 'source.raw')
        packed = directory / 'source.raw.gz'
        packed.write_bytes(gzip.compress(disk.read_bytes()))
        return packed


def test_the_older_shape_saves_through_the_repository(start, source):
    trial = start(
        'old_shape',
        conf=cfg.CONF,
        options={'fixture_old_shape': {'properties': 'a:1,os_glance_x:2', 'min_disk': 3}},
    )
    image = trial.import_file(source, roles=['member', 'reader'], properties={'b': '2'}).image
    assert image.properties == {'a': '1', 'b': '2', 'seen_by': 'member,reader'}
    assert (image.min_disk, image.status) == (3, 'active')


def test_a_bad_option_of_a_plugin_that_registers_globally_stops_the_start(start):
    options = {'fixture_old_shape': {'min_disk': 'many'}}
    with pytest.raises(exceptions.ConfigError, match='min_disk'):
        start('old_shape', conf=cfg.CONF, options=options)


def test_the_newer_shape_writes_through_the_action_wrapper(start, source):
    outcome = start('new_shape').import_file(source, properties={'user_word': 'mine'})
    assert outcome.image.properties == {
        'new_shape': 'qcow2 in bare',
        'user_word': 'from the operator',
    }


def test_a_bare_task_is_a_plugin_and_sees_the_request(start, source):
    outcome = start('bare_task').import_file(source)
    assert outcome.image.properties == {'bare_task': 'glance-direct'}


def test_a_path_of_none_leaves_the_data_unchanged(start, source):
    trial = start('returns_none', 'bare_task')
    outcome = trial.import_file(source)
    assert trial.stored_data(outcome.image.image_id) == source.read_bytes()
    assert outcome.image.properties == {'bare_task': 'glance-direct'}


#: Plugins of the field that look or describe, and those that give new data: both generations.
LOOKING = ('old_shape', 'new_shape', 'bare_task', 'returns_none', 'no_op')
CONVERTING = ('old_transformer', 'transformer')
PAIRS = [
    pair
    for pair in itertools.permutations((*LOOKING, *CONVERTING), 2)
    if set(pair) & set(CONVERTING) or pair in {LOOKING[:2], LOOKING[1::-1]}
]


@pytest.mark.parametrize('pair', PAIRS, ids='-'.join)
def test_two_plugins_of_the_field_work_together_in_both_orders(start, source, pair):
    trial = start(*pair, conf=cfg.CONF)
    image_id = trial.stage(source)
    failed = trial.import_staged(image_id, store='full')
    assert (failed.code, failed.image.status) == ('no_space', 'uploading')
    assert failed.image.disk_format == 'qcow2'
    assert trial.staged_files() == [trial.staged_path(image_id)]
    outcome = trial.import_staged(image_id)
    assert outcome.image.status == 'active', outcome.task.message
    added = 512 * len(set(pair) & set(CONVERTING))
    assert trial.stored_data(image_id) == bytes(added) + source.read_bytes()
    assert outcome.image.disk_format == ('raw' if added else 'qcow2')
    told = {'old_shape': 'old_shape', 'new_shape': 'new_shape', 'bare_task': 'bare_task'}
    assert {told[name] for name in pair if name in told} <= set(outcome.image.properties)
    receipts = [(each['plugin'], each['outcome']) for each in outcome.task.receipts]
    assert receipts == [(name, 'passed') for name in pair]
    assert trial.staged_files() == []


@pytest.mark.parametrize('order', [1, -1])
def test_a_plugin_without_revert_is_cleaned_up_after_beside_any_other(start, source, order):
    for other in (*LOOKING, *CONVERTING):
        trial = start(*[other, 'no_revert'][::order], conf=cfg.CONF)
        image_id = trial.stage(source)
        outcome = trial.import_staged(image_id)
        assert outcome.task.error['plugin'] == 'no_revert'
        assert (outcome.image.status, outcome.image.disk_format) == ('uploading', 'qcow2')
        assert trial.staged_files() == [trial.staged_path(image_id)]


def test_none_after_a_transformer_keeps_the_transformed_data(start, source):
    trial = start('transformer', 'returns_none')
    outcome = trial.import_file(source)
    assert trial.stored_data(outcome.image.image_id) == bytes(512) + source.read_bytes()


@pytest.mark.parametrize('name', ['transformer', 'old_transformer'])
def test_what_a_transformer_gives_is_what_is_stored_and_described(start, source, name):
    trial = start(name)
    image = trial.import_file(source).image
    expected = bytes(512) + source.read_bytes()
    assert trial.stored_data(image.image_id) == expected
    assert (image.disk_format, image.container_format) == ('raw', 'bare')
    assert image.size == len(expected)
    assert image.checksum == hashlib.md5(expected).hexdigest()


def test_transformers_follow_one_another(start, source):
    trial = start('old_transformer', 'transformer')
    image = trial.import_file(source).image
    assert trial.stored_data(image.image_id) == bytes(1024) + source.read_bytes()
    assert trial.staged_files() == []


def test_data_replaced_under_its_own_name_is_measured_anew(start, tmp_path):
    disk = images.write_raw(tmp_path / 'disk').read_bytes()
    packed = tmp_path / 'disk.gz'
    packed.write_bytes(gzip.compress(disk))
    trial = start('in_place')
    image = trial.import_file(packed, disk_format='raw').image
    assert trial.stored_data(image.image_id) == disk
    assert (image.size, image.checksum) == (len(disk), hashlib.md5(disk).hexdigest())


def test_two_plugins_with_steps_of_one_name_run_together(start, source):
    outcome = start('bare_task', 'returns_none', 'no_op').import_file(source)
    assert outcome.image.status == 'active'


def test_a_plugin_that_raises_tells_the_owner_its_sentence_name_and_phase(start, source):
    trial = start('raises')
    image_id = trial.stage(source)
    outcome = trial.import_staged(image_id)
    error = outcome.task.error
    assert outcome.task.status == 'failure'
    assert 'virus found' in outcome.task.message and "'raises'" in outcome.task.message
    assert (error['plugin'], error['phase']) == ('raises', 'run-plugin:raises')
    assert error['code'] == 'plugin_failed' and error['retryable']
    assert 'virus found' in outcome.image.properties['os_glance_import_error']
    assert outcome.image.status == 'uploading' and trial.stored_data(image_id) is None


def test_nothing_is_left_by_a_plugin_without_revert(start, source):
    trial = start('new_shape', 'no_revert')
    image_id = trial.stage(source)
    outcome = trial.import_staged(image_id)
    assert outcome.image.status == 'uploading'
    assert trial.staged_files() == [trial.staged_path(image_id)]
    assert outcome.task.error['plugin'] == 'no_revert'
    assert str(trial.services.staging.directory) not in outcome.task.message
    assert outcome.image.properties['os_glance_failed_import'] == 'trial'


def test_a_plugin_that_cannot_be_imported_stops_the_start(start):
    with pytest.raises(exceptions.ConfigError) as caught:
        start('no_op', 'bad_import')
    for part in ('bad_import', DISTRIBUTION, 'glance_lite_fixture_missing_library'):
        assert part in str(caught.value)


def test_a_plugin_of_an_import_that_is_not_enabled_any_more_fails_it(start, source):
    trial = start('no_op')
    image_id = trial.stage(source)
    outcome = trial.run(trial.post(image_id, plugins=['no_op', 'gone']))
    assert outcome.code == 'plugin_missing' and "'gone'" in outcome.task.message
