# SPDX-License-Identifier: Apache-2.0
"""Compressed images are unpacked by their content, within limits."""

import os
import stat
import struct
import sys
import zipfile

import pytest

from glance_lite.image_import import unpacking
from glance_lite.image_import.plugins.image_decompression import GROUP
from glance_lite.plugin import loader
from glance_lite.testing import hostile, images
from glance_lite.testing.plugins import ImportPluginContract
from glance_lite.testing.trial import Trial
from tests import programs

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KINDS = ['gzip', 'bzip2', 'xz', 'zstd', 'zip']
MIB = 1 << 20


def packed(kind, data):
    return zstd.compress(data) if kind == 'zstd' else hostile.packed(kind, data)


class TestContract(ImportPluginContract):
    plugin_name = 'image_decompression'


@pytest.fixture
def make_trial(tmp_path):
    made = []

    def make(plugins=('image_decompression',), **options):
        directory = tmp_path / 'service'
        directory.mkdir()
        made.append(Trial(directory, plugins, {GROUP: options}))
        return made[-1]

    yield make
    for trial in made:
        trial.close()


@pytest.fixture
def bring(make_trial, tmp_path):
    """Return a function that imports data and returns the outcome and what was stored."""

    def bring(data, options=None, **image):
        path = tmp_path / 'data'
        path.write_bytes(data)
        trial = make_trial(**(options or {}))
        outcome = trial.import_file(path, **image)
        if outcome.code is not None:
            assert trial.staged_files() == []
        return outcome, trial.stored_data(outcome.image.image_id)

    return bring


@pytest.mark.parametrize('kind', KINDS)
def test_what_is_packed_is_stored_unpacked(bring, tmp_path, kind):
    disk = images.write_qcow2(tmp_path / 'disk').read_bytes()
    outcome, stored = bring(packed(kind, disk))
    assert outcome.task.message == '' and stored == disk
    image = outcome.image
    assert (image.size, image.virtual_size) == (len(disk), images.DISK_BYTES)
    assert outcome.task.receipts[0]['note'].startswith(f'{kind}: ')


@pytest.mark.parametrize('kind', ['gzip', 'bzip2', 'xz', 'zstd'])
def test_streams_that_follow_each_other_are_one_image(bring, kind):
    data = [os.urandom(MIB), bytes(3 * MIB), b'end']
    padding = bytes(8) if kind in ('gzip', 'xz') else b''
    outcome, stored = bring(
        b''.join(packed(kind, part) + padding for part in data), disk_format='raw'
    )
    assert outcome.task.message == '' and stored == b''.join(data)


def test_zeros_become_holes(make_trial, tmp_path):
    path = tmp_path / 'data'
    path.write_bytes(packed('gzip', b'\x01' + bytes(50 * MIB)))
    trial = make_trial()
    image_id = trial.stage(path, disk_format='raw')
    [built] = trial.build(trial.post(image_id))
    [step] = built.atoms
    made = step.execute(file_path=f'file://{trial.staged_path(image_id)}').removeprefix('file://')
    info = os.stat(made)
    assert info.st_size == 50 * MIB + 1 and info.st_blocks * 512 <= 128 * 1024


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('cut', [3, 0.5, 0.99])
def test_what_is_cut_off_is_refused(bring, kind, cut):
    whole = packed(kind, os.urandom(MIB))
    outcome, stored = bring(whole[: -cut if cut == 3 else int(len(whole) * cut)], disk_format='raw')
    assert outcome.code == 'plugin_rejected' and stored is None, outcome.task.message


@pytest.mark.parametrize('kind', ['gzip', 'bzip2', 'xz', 'zip'])
def test_a_flipped_bit_is_found(bring, kind):
    data = bytearray(packed(kind, os.urandom(MIB)))
    data[len(data) // 2] ^= 1
    outcome, _ = bring(bytes(data), disk_format='raw')
    assert outcome.code == 'plugin_rejected' and 'damaged' in outcome.task.message


@pytest.mark.parametrize('kind', KINDS)
def test_a_bomb_is_stopped_by_the_size(bring, kind):
    outcome, _ = bring(packed(kind, bytes(64 * MIB)), {'max_size': 8 * MIB}, disk_format='raw')
    assert outcome.code == 'too_large'


@pytest.mark.parametrize('kind', ['gzip', 'zstd'])
def test_a_bomb_is_stopped_by_the_ratio(bring, kind):
    outcome, _ = bring(packed(kind, b'\x01' * (64 * MIB)), disk_format='raw')
    assert outcome.code == 'plugin_rejected' and 'max_ratio' in outcome.task.message


def test_an_empty_disk_is_no_bomb(bring):
    outcome, stored = bring(packed('zstd', bytes(64 * MIB)), disk_format='raw')
    assert outcome.task.message == '' and len(stored) == 64 * MIB


def test_what_needs_much_memory_is_refused(bring):
    import lzma

    filters = [{'id': lzma.FILTER_LZMA2, 'dict_size': 512 * MIB}]
    data = lzma.compress(b'disk', filters=filters)
    outcome, _ = bring(data, disk_format='raw')
    assert outcome.code == 'plugin_rejected'


@pytest.mark.parametrize(
    ('members', 'word'),
    [
        ({'a': b'1', 'b': b'2'}, '2 members'),
        ({}, 'members'),
        ({'folder/': b''}, 'not an ordinary file'),
    ],
)
def test_a_zip_archive_of_anything_but_one_file_is_refused(bring, members, word):
    outcome, _ = bring(hostile.zipped(members), disk_format='raw')
    assert outcome.code == 'plugin_rejected' and word in outcome.task.message


def test_a_link_in_a_zip_archive_is_refused(bring, tmp_path):
    path = tmp_path / 'link.zip'
    with zipfile.ZipFile(path, 'w') as archive:
        info = zipfile.ZipInfo('disk')
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, '/etc/passwd')
    outcome, _ = bring(path.read_bytes(), disk_format='raw')
    assert outcome.code == 'plugin_rejected' and 'ordinary file' in outcome.task.message


@pytest.mark.parametrize('name', ['../../etc/cron.d/x', '/etc/passwd', 'a\\..\\b', 'x' * 60000])
def test_the_name_of_a_member_means_nothing(bring, name):
    outcome, stored = bring(hostile.zipped({name: b'disk'}), disk_format='raw')
    assert outcome.task.message == '' and stored == b'disk'


def test_an_encrypted_member_is_refused(bring):
    data = bytearray(hostile.zipped({'disk': b'disk'}))
    data[6] |= 1
    data[data.index(b'PK\x01\x02') + 8] |= 1
    outcome, _ = bring(bytes(data), disk_format='raw')
    assert outcome.code == 'plugin_rejected' and 'encrypted' in outcome.task.message


def test_a_directory_of_many_members_is_not_even_read(tmp_path):
    data = bytearray(hostile.zipped({'disk': b'disk'}))
    struct.pack_into('<L', data, data.rindex(b'PK\x05\x06') + 12, 1 << 30)
    path = tmp_path / 'zip'
    path.write_bytes(data)
    with open(path, 'rb') as file, pytest.raises(unpacking.Damaged, match='more than one member'):
        list(unpacking.unpack(file, 'zip'))


@pytest.mark.parametrize('kind', ['tar', 'gzip'])
def test_an_archive_in_an_archive_is_refused(bring, kind):
    inner = hostile.tar() if kind == 'tar' else packed('gzip', b'disk')
    outcome, _ = bring(packed('gzip', inner), disk_format='raw')
    assert outcome.code == 'plugin_rejected' and f'begins like {kind}' in outcome.task.message


@pytest.mark.parametrize('data', [b'7z\xbc\xaf\x27\x1c' + bytes(99), hostile.tar()])
def test_archives_that_are_not_unpacked_are_refused(bring, data):
    outcome, _ = bring(data, disk_format='raw')
    assert outcome.code == 'plugin_rejected' and 'those that are' in outcome.task.message


def test_a_compressed_container_stays_compressed(bring):
    data = packed('gzip', b'disk')
    outcome, stored = bring(data, disk_format='raw', container_format='compressed')
    assert stored == data and outcome.image.container_format == 'compressed'


@pytest.mark.parametrize(
    ('inner', 'code'),
    [
        (hostile.jpeg(), 'format_mismatch'),
        (hostile.qcow2_header(backing_offset=112), 'unsafe_image'),
    ],
)
def test_what_comes_out_is_inspected(bring, inner, code):
    outcome, _ = bring(packed('xz', inner))
    assert outcome.code == code and outcome.image.status == 'queued'


@programs.QEMU_IMG
def test_conversion_before_it_is_a_conflict(make_trial, tmp_path):
    trial = make_trial(['image_conversion', 'image_decompression'])
    [conflict] = loader.find_conflicts(trial.services.plugins)
    assert "'image_conversion' runs before 'image_decompression'" in conflict
    path = tmp_path / 'data'
    path.write_bytes(packed('gzip', images.write_qcow2(tmp_path / 'disk').read_bytes()))
    assert trial.import_file(path).code == 'format_mismatch'


@programs.QEMU_IMG
def test_both_together_make_a_packed_disk_raw(make_trial, tmp_path):
    path = tmp_path / 'data'
    path.write_bytes(packed('gzip', images.write_qcow2(tmp_path / 'disk').read_bytes()))
    trial = make_trial(['image_decompression', 'image_conversion'])
    outcome = trial.import_file(path)
    assert (outcome.task.message, outcome.image.disk_format) == ('', 'raw')
    assert outcome.image.size == images.DISK_BYTES and trial.staged_files() == []
