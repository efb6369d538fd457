# SPDX-License-Identifier: Apache-2.0
"""What an author and an operator do with ``glance-lite-plugins``."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from oslo_config import cfg

from glance_lite.cmd import plugins
from glance_lite.testing import hostile, images

INJECT = """[image_import_opts]
image_import_plugins = no_op, inject_image_metadata
[inject_metadata_properties]
inject = tier:gold
[import_plugin:no_op]
when = size < 1 GiB
timeout = 9
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Return a function that runs the program: its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / 'service.conf'
    file.write_text(INJECT)

    def run(*words, text=None):
        if text is not None:
            file.write_text(text)
        capsys.readouterr()
        status = plugins.main(['--config-file', str(file), *words], cfg.ConfigOpts())
        said = capsys.readouterr()
        assert 'Traceback' not in said.err
        return status, said.out, said.err

    return run


@pytest.fixture
def disk(tmp_path):
    return str(images.write_qcow2(tmp_path / 'disk.qcow2'))


def test_list_shows_the_order_the_settings_and_the_options(run):
    status, out, err = run('list')
    assert (status, err) == (0, '')
    assert out.index('1. no_op') < out.index('2. inject_image_metadata')
    assert 'step 4 of the flow, behind verify-staged' in out
    assert 'step 5 of the flow, behind run-plugin:no_op' in out
    assert 'size < 1 GiB' in out and '9 s' in out
    assert '[inject_metadata_properties] inject = tier:gold (default: )' in out


def test_list_can_be_read_by_programs(run):
    found = json.loads(run('list', '--json')[1])
    first, second = found['enabled']
    assert (first['order'], first['name'], first['distribution']) == (1, 'no_op', 'glance_lite')
    chosen = first['settings']
    assert (chosen['when'], chosen['timeout'], chosen['isolated']) == ('size < 1 GiB', 9, False)
    assert (second['requires'], second['provides']) == (['file_path'], [])
    assert second['options'][1]['value'] == 'tier:gold'
    assert found['conflicts'] == []


def test_list_without_a_plugin_says_so(run):
    assert 'No plugin is enabled' in run('list', text='[DEFAULT]\n')[1]


def test_check_compiles_the_flow_of_each_method(run):
    status, out, err = run('check')
    assert (status, err) == (0, '')
    assert 'glance-direct: 10 steps, compiled' in out and 'web-download: 10 steps' in out


@pytest.mark.parametrize(
    ('text', 'sentence'),
    [
        ('[image_import_opts]\nimage_import_plugins = no_opp\n', "Did you mean 'no_op'?"),
        (INJECT.replace('< 1', '= 1'), 'size is compared by'),
        (INJECT.replace('tier:gold', 'status:x'), 'status'),
    ],
)
@pytest.mark.parametrize('command', ['check', 'list', 'graph'])
def test_what_would_stop_the_start_is_told(run, command, text, sentence):
    status, out, err = run(command, text=text)
    assert (status, out) == (2, '') and sentence in err


def test_check_tells_of_options_that_nothing_reads(run):
    out = run('check', text=INJECT + 'wehn = always\n')[1]
    assert 'warning: service.conf: nothing reads the option wehn' in out


def test_run_shows_what_a_plugin_changes(run, disk):
    status, out, err = run('run', 'inject_image_metadata', disk, '--property', 'mine=1')
    assert (status, err) == (0, '')
    assert 'inject_image_metadata passed in ' in out
    assert 'property tier: none -> gold' in out and 'mine' not in out
    assert 'It changes nothing.' in run('run', 'inject_image_metadata', disk, '--role', 'admin')[1]


def test_run_can_be_read_by_programs_and_writes_the_data(run, disk, tmp_path):
    output = tmp_path / 'after'
    words = ('run', 'inject_image_metadata', disk, '--json', '--output', str(output))
    found = json.loads(run(*words)[1])
    assert found['changes'] == [{'what': 'property tier', 'before': None, 'after': 'gold'}]
    assert found['error'] is None and found['receipts'][0]['outcome'] == 'passed'
    assert output.read_bytes() == (tmp_path / 'disk.qcow2').read_bytes()


def test_run_tells_why_an_import_fails(run, disk):
    status, out, _ = run('run', 'no_op', disk, '--disk-format', 'iso')
    assert status == 1 and 'The import fails with format_mismatch.' in out


@pytest.mark.parametrize(
    ('words', 'status', 'sentence'),
    [
        (('run', 'nope', 'service.conf'), 2, "there is no plugin 'nope' installed"),
        (('run', 'no_op', 'gone.qcow2'), 1, 'gone.qcow2 cannot be read: No such file'),
        (('new', 'No-Name'), 2, "'No-Name' cannot be the name of a plugin"),
        (('new', 'class'), 2, "'class' cannot be the name of a plugin"),
        (('new', 'no_op'), 1, "A plugin 'no_op' is installed already"),
        (('new', 'mine', '--directory', '.'), 1, 'is there already'),
        (('graph', '--output', 'no/such/folder'), 1, 'no/such/folder: No such file'),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, words, status, sentence):
    found, out, err = run(*words)
    assert (found, out) == (status, '') and sentence in err and err.count('\n') == 1


@pytest.mark.parametrize('wrong', [('run', 'no_op', 'x', '--property', 'x'), (), ('nothing',)])
def test_a_wrong_command_line_is_told(run, wrong):
    with pytest.raises(SystemExit) as caught:
        run(*wrong)
    assert caught.value.code == 2


def test_graph_draws_each_step_once(run, tmp_path):
    out = run('graph', '--method', 'web-download')[1]
    assert out.startswith('digraph') and '"download" -> "verify-staged";' in out
    assert out.count('fillcolor') == 2
    assert run('graph', '--format', 'svg', '--output', 'flow.svg')[0] == 0
    tree = ElementTree.parse(tmp_path / 'flow.svg')
    texts = [each.text for each in tree.iter('{http://www.w3.org/2000/svg}text')]
    assert 'run-plugin:no_op' in texts and texts.index('use-staged') < texts.index('activate-image')


def test_new_writes_a_distribution_that_can_be_read(run, tmp_path):
    status, out, err = run('new', 'size_limit')
    assert (status, err) == (0, '') and 'pytest glance-lite-size-limit' in out
    folder = tmp_path / 'glance-lite-size-limit'
    python = sorted(folder.rglob('*.py'))
    assert [path.name for path in python] == [
        '__init__.py',
        'plugin.py',
        'setup.py',
        'test_size_limit.py',
    ]
    subprocess.run([sys.executable, '-m', 'compileall', '-q', str(folder)], check=True)
    assert (
        'size_limit = glance_lite_size_limit.plugin:SizeLimit.get_flow'
        in (folder / 'setup.cfg').read_text()
    )


def test_run_shows_new_data_and_its_size(run, disk, tmp_path):
    packed = tmp_path / 'disk.gz'
    packed.write_bytes(hostile.packed('gzip', (tmp_path / 'disk.qcow2').read_bytes()))
    output = tmp_path / 'unpacked'
    status, out, _ = run('run', 'image_decompression', str(packed), '--output', str(output))
    assert status == 0
    sizes = f'size: {packed.stat().st_size} -> {(tmp_path / "disk.qcow2").stat().st_size}'
    assert sizes in out and 'data: sha256 ' in out
    assert output.read_bytes() == (tmp_path / 'disk.qcow2').read_bytes()
