# SPDX-License-Identifier: Apache-2.0
"""Rules of the configuration, held against each image."""

import pytest

from glance_lite import exceptions
from glance_lite.image_import.plugins.verify_image import GROUP
from glance_lite.testing import hostile, images
from glance_lite.testing.plugins import ImportPluginContract
from glance_lite.testing.trial import Trial


class TestContract(ImportPluginContract):
    plugin_name = 'verify_image'
    options = {GROUP: {'set_min_disk': True, 'min_ram': 512}}


@pytest.fixture
def bring(tmp_path):
    """Return a function that imports a qcow2 disk under rules."""
    made = []

    def bring(options, data=None, **image):
        made.append(Trial(tmp_path, ['verify_image'], {GROUP: options}))
        path = images.write_qcow2(tmp_path / 'disk')
        if data is not None:
            path.write_bytes(data)
        return made[-1].import_file(path, **image)

    yield bring
    for trial in made:
        trial.close()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'disk_formats': 'raw, iso'}, ['The disk_format is qcow2; accepted are raw, iso.']),
        ({'container_formats': '[ova]'}, ['The container_format is bare']),
        ({'max_size': 1000}, ['1000 are permitted']),
        ({'min_size': 1 << 40}, ['are needed']),
        ({'max_virtual_size': images.DISK_BYTES - 1}, ['The virtual_size is 67108864 bytes']),
        ({'min_virtual_size': images.DISK_BYTES + 1}, ['67108865 are needed']),
        (
            {'required_properties': 'os_distro, hw_disk_bus:virtio|scsi'},
            ['os_distro is missing', 'hw_disk_bus must be one of virtio, scsi'],
        ),
    ],
)
def test_each_broken_rule_is_told(bring, options, words):
    outcome = bring(options, properties={'hw_disk_bus': 'ide'})
    assert (outcome.code, outcome.image.status) == ('plugin_rejected', 'queued')
    assert all(word in outcome.task.message for word in words), outcome.task.message


def test_an_image_that_keeps_all_rules_passes(bring):
    rules = {
        'disk_formats': 'qcow2',
        'container_formats': 'bare',
        'min_size': 1,
        'max_size': 1 << 40,
        'min_virtual_size': images.DISK_BYTES,
        'max_virtual_size': images.DISK_BYTES,
        'required_properties': 'hw_disk_bus:virtio|scsi, os_distro',
    }
    outcome = bring(rules, properties={'hw_disk_bus': 'scsi', 'os_distro': 'debian'})
    assert outcome.task.message == ''


def test_what_has_no_virtual_size_breaks_a_bound_of_it(bring):
    outcome = bring({'max_virtual_size': 1}, hostile.tar(), disk_format='raw')
    assert 'virtual_size cannot be told' in outcome.task.message


def test_what_a_disk_needs_is_set(bring):
    data = hostile.qcow2_header(size=5 * 1024**3 + 512)
    outcome = bring({'set_min_disk': True, 'min_ram': 512}, data, min_disk=2, min_ram=64)
    assert (outcome.image.min_disk, outcome.image.min_ram) == (6, 512)


def test_what_is_more_already_stays(bring):
    outcome = bring({'set_min_disk': True, 'min_ram': 512}, min_disk=20, min_ram=1024)
    assert (outcome.image.min_disk, outcome.image.min_ram) == (20, 1024)


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        ({'required_properties': 'a:'}, None),
        ({'required_properties': 'a:x||y'}, 'is not name or'),
        ({'required_properties': ':x'}, 'is not name or'),
        ({'min_size': 2, 'max_size': 1}, 'min_size is more than max_size'),
        ({'min_virtual_size': 2, 'max_virtual_size': 1}, 'more than max_virtual_size'),
    ],
)
def test_a_rule_that_cannot_be_kept_stops_the_start(tmp_path, options, word):
    if word is None:
        Trial(tmp_path, ['verify_image'], {GROUP: options}).close()
        return
    with pytest.raises(exceptions.ConfigError, match=word):
        Trial(tmp_path, ['verify_image'], {GROUP: options})
