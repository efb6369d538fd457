# SPDX-License-Identifier: Apache-2.0
"""Disks are converted to one format, within limits, and nothing else is ever read."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from glance_lite import exceptions
from glance_lite.image_import import limited_program
from glance_lite.image_import.plugins import image_conversion
from glance_lite.testing import hostile, images
from glance_lite.testing.plugins import ImportPluginContract
from glance_lite.testing.trial import Trial
from tests import programs

pytestmark = programs.QEMU_IMG
GROUP = image_conversion.GROUP


class TestContract(ImportPluginContract):
    plugin_name = 'image_conversion'


@pytest.fixture
def make_trial(tmp_path):
    made = []

    def make(**options):
        directory = tmp_path / 'service'
        directory.mkdir()
        made.append(Trial(directory, ['image_conversion'], {GROUP: options}))
        return made[-1]

    yield make
    for trial in made:
        trial.close()


def written(path, data):
    path.write_bytes(data)
    return path


def made_by_qemu(path, disk_format, source, *options):
    name = {'vhd': 'vpc'}.get(disk_format, disk_format)
    command = ['qemu-img', 'convert', '-f', 'qcow2', '-O', name, *options, source, path]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.mark.parametrize(
    ('disk_format', 'options'),
    [
        ('qcow2', ()),
        ('qcow2', ('-c',)),
        ('qcow2', ('-o', 'compat=0.10')),
        ('vmdk', ()),
        ('vmdk', ('-o', 'subformat=streamOptimized')),
        ('vdi', ()),
        ('vhd', ('-o', 'force_size=on')),
        ('vhdx', ()),
    ],
)
def test_every_format_becomes_the_same_raw_disk(make_trial, tmp_path, disk_format, options):
    source = images.write_qcow2(tmp_path / 'source')
    plain = made_by_qemu(tmp_path / 'plain', 'raw', source).read_bytes()
    disk = made_by_qemu(tmp_path / 'disk', disk_format, source, *options)
    trial = make_trial()
    outcome = trial.import_file(disk, disk_format=disk_format)
    assert outcome.task.message == ''
    image = outcome.image
    assert (image.disk_format, image.container_format) == ('raw', 'bare')
    assert image.size == image.virtual_size == images.DISK_BYTES
    assert trial.stored_data(image.image_id) == plain
    [receipt] = outcome.task.receipts
    assert receipt['note'] == f'{disk_format} to raw'


@pytest.mark.parametrize('target', ['qcow2', 'vmdk'])
def test_other_formats_can_be_asked_for(make_trial, tmp_path, target):
    trial = make_trial(output_format=target)
    outcome = trial.import_file(images.write_raw(tmp_path / 'disk'), disk_format='raw')
    assert outcome.image.disk_format == target, outcome.task.message
    assert outcome.image.virtual_size == 2 * 1024 * 1024
    made = written(tmp_path / 'made', trial.stored_data(outcome.image.image_id))
    subprocess.run(
        ['qemu-img', 'compare', '-f', 'raw', '-F', target, tmp_path / 'disk', made], check=True
    )


def test_holes_stay_holes(make_trial, tmp_path):
    trial = make_trial()
    image_id = trial.stage(images.write_qcow2(tmp_path / 'disk'))
    [built] = trial.build(trial.post(image_id))
    [step] = built.atoms
    path = step.execute(file_path=f'file://{trial.staged_path(image_id)}').removeprefix('file://')
    info = os.stat(path)
    assert info.st_size == images.DISK_BYTES
    assert info.st_blocks * 512 <= 2 * 1024 * 1024 and info.st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ('data', 'disk_format', 'container', 'note'),
    [
        (hostile.gpt(), 'raw', 'bare', 'The disk is raw already.'),
        (bytes(1000), 'raw', 'bare', 'The disk is raw already.'),
        (hostile.luks(), 'raw', 'bare', 'The disk is raw already.'),
        (hostile.iso(), 'iso', 'bare', 'Not converted: an ISO stays one.'),
        (hostile.iso(hybrid=True), 'iso', 'bare', 'Not converted: an ISO stays one.'),
        (hostile.tar(), 'vmdk', 'ova', 'Not converted: the image is not a bare disk.'),
        (bytes(1000), 'ari', 'ari', 'Not converted: the image is not a bare disk.'),
    ],
)
def test_what_needs_no_conversion_is_left_as_it_is(
    make_trial, tmp_path, data, disk_format, container, note
):
    trial = make_trial()
    outcome = trial.import_file(
        written(tmp_path / 'disk', data), disk_format=disk_format, container_format=container
    )
    assert outcome.task.message == '' and outcome.image.disk_format == disk_format
    assert trial.stored_data(outcome.image.image_id) == data
    assert outcome.task.receipts[0]['note'] == note


@pytest.mark.parametrize('data', [hostile.qcow2_header(), hostile.iso()])
def test_a_raw_disk_that_looks_like_an_image_is_not_converted(make_trial, tmp_path, data):
    outcome = make_trial(output_format='qcow2').import_file(
        written(tmp_path / 'disk', data), disk_format='raw'
    )
    assert outcome.code == 'format_mismatch' and outcome.image.status == 'queued'


def test_a_disk_in_a_disk_is_refused(make_trial, tmp_path):
    inner = written(tmp_path / 'inner', hostile.vdi())
    outer = tmp_path / 'outer'
    command = ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', inner, outer]
    subprocess.run(command, check=True)
    outcome = make_trial().import_file(outer)
    assert outcome.code == 'plugin_rejected' and 'holds another image' in outcome.task.message


def test_a_damaged_disk_is_refused_with_the_reason(make_trial, tmp_path):
    trial = make_trial()
    data = bytearray(images.write_qcow2(tmp_path / 'disk').read_bytes())
    data[65536:65544] = (0x12345 | 1 << 63).to_bytes(8, 'big')  # where the L2 table is
    outcome = trial.import_file(written(tmp_path / 'disk', data))
    assert outcome.code == 'plugin_rejected'
    assert 'cannot be read' in outcome.task.message
    assert str(tmp_path) not in outcome.task.message
    assert trial.staged_files() == []


def test_a_disk_that_is_too_large_is_not_begun(make_trial, tmp_path):
    trial = make_trial(max_output_size=1 << 20)
    outcome = trial.import_file(images.write_qcow2(tmp_path / 'disk'))
    assert outcome.code == 'too_large' and str(images.DISK_BYTES) in outcome.task.message


@pytest.mark.parametrize('name', ['qemu-img', 'setpriv'])
def test_the_start_is_refused_without_the_programs(tmp_path, monkeypatch, name):
    found = {program for program in ('qemu-img', 'setpriv', 'prlimit') if program != name}
    for program in found:
        (tmp_path / program).symlink_to('/bin/true')
    monkeypatch.setitem(limited_program._ENVIRONMENT, 'PATH', str(tmp_path))
    with pytest.raises(exceptions.ConfigError, match=f'image_conversion.*the program {name}'):
        Trial(tmp_path, ['image_conversion'])


LIMITS = limited_program.Limits(1 << 30, 10, 30, 1 << 20)


def run(*command, check=lambda: None, **changes):
    return limited_program.run(command, dataclasses.replace(LIMITS, **changes), check)


def test_a_program_is_held_to_its_limits(tmp_path):
    assert run('true').status == 0
    loop = ('sh', '-c', 'while :; do :; done')
    assert run(*loop, cpu_seconds=1).status == -24
    assert run('sleep', '60', wall_seconds=0.2).timed_out
    assert 'File too large' in run(
        'cp', '/bin/bash', str(tmp_path / 'copy'), file_bytes=4096
    ).complaints or ((tmp_path / 'copy').stat().st_size <= 4096)
    ended = run('python3', '-c', 'bytes(10**9)', memory_bytes=200 << 20)
    assert ended.status == 1 and 'MemoryError' in ended.complaints


def test_a_program_ends_with_the_import():
    started = time.monotonic()

    def check():
        if time.monotonic() > started + 0.3:
            raise exceptions.ImportCancelled('cancelled')

    with pytest.raises(exceptions.ImportCancelled):
        run('sleep', '61.5', check=check)
    assert not is_running('61.5')


def test_a_program_ends_with_the_process_that_started_it(tmp_path):
    code = (
        'from glance_lite.image_import import limited_program as p;'
        "p.run(['sleep', '62.5'], p.Limits(1 << 30, 10, 99, 1), lambda: None)"
    )
    process = subprocess.Popen([sys.executable, '-c', code])
    try:
        wait_until(lambda: is_running('62.5'))
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not is_running('62.5'))


def is_running(seconds):
    wanted = f'sleep\0{seconds}\0'.encode()
    for entry in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if entry.read_bytes() == wanted:
                return True
        except OSError:
            continue  # it has just ended
    return False


def wait_until(condition):
    ends_at = time.monotonic() + 30
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < ends_at
        pause.wait(0.05)
