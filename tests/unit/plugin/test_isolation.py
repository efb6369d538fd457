# SPDX-License-Identifier: Apache-2.0
"""An isolated plugin does its work, and can neither do nor take more than it may."""

import contextlib
import os
import socket
import time

import pytest
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.conf import opts
from glance_lite.plugin import base, isolation, loader
from glance_lite.plugin.settings import Settings
from glance_lite.testing import hostile, images
from glance_lite.testing.trial import Trial

MODULE = '''
import os, signal, socket, time
from oslo_config import cfg
from glance_lite.plugin import ImageChanges, ImportPlugin, reject

class Probe(ImportPlugin):
    name = 'probe'
    transforms = True

    @classmethod
    def list_opts(cls):
        return [('probe', [cfg.StrOpt('mode'), cfg.IntOpt('port'), cfg.StrOpt('key', secret=True)])]

    def execute(self, image, staged):
        return getattr(self, self.conf.probe.mode)(image, staged)

    def revert(self, image, staged):
        with open(staged.path + '.undone', 'w') as file:
            file.write(image.name)

    def describe(self, image, staged):
        print('a word to the operator')
        total = sum(len(chunk) for chunk in staged.chunks(1000))
        return ImageChanges(
            properties={'total': str(total), 'gone': None, 'parent': str(os.getppid()),
                        'key': self.conf.probe.key, 'role': image.importer.roles[0]},
            virtual_size=total, note='all read')

    def confess(self, image, staged):
        conf = self.conf
        return ImageChanges(properties={
            'database': 'database' in conf, 'board': conf.conductor.board_url,
            'cap': conf.image_size_cap, 'formats': conf.image_format.disk_formats,
            'environment': 'SECRET_OF_TESTS' in os.environ})

    def convert(self, image, staged):
        with open(staged.new_path(), 'wb') as file:
            file.write(b'new')
        return ImageChanges(file_path=staged.new_path(), disk_format='raw')

    def elsewhere(self, image, staged):
        return ImageChanges(file_path='/etc/passwd')

    def refuse(self, image, staged):
        reject('No such images here.')

    def fail(self, image, staged):
        raise RuntimeError('it went wrong')

    def full(self, image, staged):
        raise OSError(28, 'No space left')

    def call(self, image, staged):
        socket.create_connection(('127.0.0.1', self.conf.probe.port), 2).close()

    def eat(self, image, staged):
        bytearray(1 << 31)

    def spin(self, image, staged):
        while True:
            pass

    def grow(self, image, staged):
        with open(staged.new_path(), 'wb') as file:
            file.truncate(1 << 30)
            file.seek(1 << 30)
            file.write(b'x')

    def end(self, image, staged):
        os._exit(3)

    def die(self, image, staged):
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self, image, staged):
        with open(staged.path + '.pid', 'w') as file:
            file.write(str(os.getpid()))
        time.sleep(300)

    def babble(self, image, staged):
        os.write(2, b'x' * 1000000)
        return ImageChanges(note='said')

    def odd(self, image, staged):
        return ImageChanges(virtual_size='many')

    def wrong(self, image, staged):
        return 'changes'
'''

REFUSED = isolation.Limits(1 << 30, False)


def may_isolate():
    with contextlib.suppress(isolation._Unable):
        isolation._ask({'action': 'probe'}, REFUSED, isolation._patience(60), 'probe')
        return True
    return False


@pytest.fixture(scope='module')
def permitted():
    """Skip where the host permits no namespaces; what is said there has a test of its own."""
    if not may_isolate():
        pytest.skip('this host does not let a process leave the network')


class Place:
    """A staged file, and what is done with it by an isolated plugin."""

    def __init__(self, folder, monkeypatch):
        self._monkeypatch = monkeypatch
        site = folder / 'site'
        site.mkdir()
        (site / 'probes_of_tests.py').write_text(MODULE)
        monkeypatch.setenv('PYTHONPATH', f'{site}:{os.environ.get("PYTHONPATH", "")}')
        monkeypatch.setenv('SECRET_OF_TESTS', 'hush')
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(__import__('sys').modules, 'probes_of_tests', raising=False)
        self.path = folder / 'staged'
        self.path.write_bytes(bytes(2500))
        self.new_path = folder / 'staged.new'
        self.done = []

    def plugin(self, mode, port=0, **chosen):
        import probes_of_tests

        conf = cfg.ConfigOpts()
        opts.register_all(conf)
        conf([], default_config_files=[])
        conf.set_override('image_size_cap', 1 << 20)
        conf.set_override('board_url', 'redis://:hush@localhost', group='conductor')
        conf.set_override('disk_formats', ['raw', 'qcow2'], group='image_format')
        for group, own in probes_of_tests.Probe.list_opts():
            conf.register_opts(own, group=group)
        for name, value in {'mode': mode, 'port': port, 'key': 'k$y'}.items():
            written = value.replace('$', '$$') if isinstance(value, str) else value
            conf.set_override(name, written, group='probe')
        return isolation.IsolatedPlugin(
            probes_of_tests.Probe, conf, Settings(isolated=True, **chosen)
        )

    def staged(self, advance=None):
        return base.StagedData(str(self.path), str(self.new_path), advance or self.done.append)

    def execute(self, mode, advance=None, **chosen):
        return self.plugin(mode, **chosen).execute(IMAGE, self.staged(advance))


IMAGE = base.ImageSnapshot(
    'i',
    'my disk',
    'p',
    'private',
    2500,
    None,
    'qcow2',
    'bare',
    0,
    0,
    ('t',),
    {'a': 'b'},
    base.Importer('u', 'p', ('member',), False),
)


@pytest.fixture
def place(tmp_path, monkeypatch, permitted):
    return Place(tmp_path, monkeypatch)


def test_it_reads_the_data_reports_progress_and_returns_changes(place, caplog):
    changes = place.execute('describe')
    assert dict(changes.properties) == {
        'total': '2500',
        'gone': None,
        'parent': str(os.getpid()),
        'key': 'k$y',
        'role': 'member',
    }
    assert (changes.virtual_size, changes.note, changes.file_path) == (2500, 'all read', None)
    assert [count for count in place.done if count] == [1000, 1000, 500]


def test_it_knows_no_secrets(place):
    assert dict(place.execute('confess').properties) == {
        'database': 'False',
        'board': None,
        'cap': str(1 << 20),
        'formats': "['raw', 'qcow2']",
        'environment': 'False',
    }


def test_it_may_give_new_data_at_its_own_path_alone(place):
    changes = place.execute('convert')
    assert (changes.file_path, changes.disk_format) == (str(place.new_path), 'raw')
    assert place.new_path.read_bytes() == b'new'
    with pytest.raises(ValueError, match='new_path'):
        place.execute('elsewhere')


def test_it_is_undone_in_a_process_too(place):
    place.plugin('describe').revert(IMAGE, place.staged())
    assert (place.path.parent / 'staged.undone').read_text() == 'my disk'


@pytest.mark.parametrize(
    ('mode', 'kind', 'words'),
    [
        ('refuse', exceptions.ImageRejected, 'No such images here.'),
        ('fail', RuntimeError, 'it went wrong'),
        ('full', OSError, 'No space left'),
        ('eat', RuntimeError, 'MemoryError'),
        ('grow', OSError, 'File too large'),
        ('end', RuntimeError, 'exit status 3 and no answer'),
        ('die', RuntimeError, 'ended by signal 9'),
        ('odd', TypeError, 'of wrong types'),
        ('wrong', RuntimeError, 'execute returned str'),
    ],
)
def test_whatever_goes_wrong_in_it_is_an_error_here(place, mode, kind, words):
    with pytest.raises(kind, match=words):
        place.execute(mode)


def test_its_time_is_bounded(place):
    with pytest.raises(RuntimeError, match='it used more CPU time than its timeout permits'):
        place.execute('spin', timeout=1)


def test_what_it_prints_is_bounded_and_no_answer(place):
    assert place.execute('babble').note == 'said'


def test_it_reaches_nobody_unless_it_may(place):
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=r'unreachable|refused'):
            place.execute('call', port=port)
        assert place.execute('call', port=port, isolated_network=True) is None


def test_a_plugin_that_hears_nothing_is_ended_with_its_import(place):
    asked = time.monotonic() + 2

    def advance(count):
        if time.monotonic() > asked:
            raise exceptions.ImportCancelled('The import was cancelled.')

    with pytest.raises(exceptions.ImportCancelled):
        place.execute('sleep', advance)
    pid = int((place.path.parent / 'staged.pid').read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


CONF = """[image_import_opts]
image_import_plugins = inject_image_metadata
[inject_metadata_properties]
inject = tier:gold
[import_plugin:inject_image_metadata]
isolated = true
"""


def test_a_host_that_does_not_permit_it_refuses_to_start(make_conf):
    if may_isolate():
        loader.load_plugins(make_conf(CONF))
    else:
        with pytest.raises(exceptions.ConfigError, match='isolated_network = true'):
            loader.load_plugins(make_conf(CONF))
    found = loader.load_plugins(make_conf(CONF + 'isolated_network = true\n'))
    assert found.about('inject_image_metadata').settings.isolated


def test_a_plugin_written_for_glance_cannot_be_isolated():
    with pytest.raises(exceptions.ConfigError, match=r'\[import_plugin:x\] isolated: only a'):
        isolation.check(None, 'x', Settings(isolated=True))


def test_the_built_in_plugins_that_open_content_can_be_isolated(tmp_path, permitted):
    options = {'import_plugin:image_decompression': {'isolated': 'true'}}
    trial = Trial(tmp_path, ['image_decompression'], options)
    disk = images.write_qcow2(tmp_path / 'disk')
    packed = tmp_path / 'disk.gz'
    packed.write_bytes(hostile.packed('gzip', disk.read_bytes()))
    outcome = trial.import_file(packed)
    assert outcome.image.status == 'active', outcome.task.message
    assert trial.stored_data(outcome.image.image_id) == disk.read_bytes()
    trial.close()


def test_an_import_runs_an_isolated_plugin(tmp_path):
    options = {
        'inject_metadata_properties': {'inject': 'tier:gold'},
        'import_plugin:inject_image_metadata': {'isolated': 'true', 'isolated_network': 'true'},
    }
    trial = Trial(tmp_path, ['inject_image_metadata'], options)
    outcome = trial.import_file(images.write_qcow2(tmp_path / 'disk'))
    assert outcome.image.status == 'active' and outcome.image.properties == {'tier': 'gold'}
    assert outcome.task.receipts[0]['outcome'] == 'passed'
    trial.close()
