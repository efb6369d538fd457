# SPDX-License-Identifier: Apache-2.0
"""Content is recognised for what it is, and unsafe content is refused whatever it is called."""

import pytest
from oslo_config import cfg

from glance_lite import exceptions, image_data
from glance_lite.conf import image_import
from glance_lite.inspection import HEAD_BYTES, Finding, FormatRules, Inspector
from glance_lite.testing import hostile
from glance_lite.testing import images as samples

RULES = FormatRules(vmdk_types=frozenset({'streamoptimized', 'monolithicsparse'}))


def inspect(data, step=65536):
    inspector = Inspector()
    for at in range(0, len(data), step):
        inspector.eat(memoryview(data)[at : at + step])
    return inspector.finish()


@pytest.mark.parametrize('step', [511, 65536, 1 << 20])
def test_a_qcow2_disk_is_recognised_with_its_virtual_size(tmp_path, step):
    found = inspect(samples.write_qcow2(tmp_path / 'disk').read_bytes(), step)
    assert (found.formats, found.failures) == (['qcow2'], [])
    assert found.virtual_size == samples.DISK_BYTES
    RULES.check(found, 'qcow2')
    RULES.check(found, 'raw')


@pytest.mark.parametrize('declared', ['qcow2', 'raw', 'vmdk', 'iso', None])
@pytest.mark.parametrize('container', ['bare', 'ova', 'compressed'])
def test_a_backing_file_is_refused_whatever_the_disk_is_called(declared, container):
    found = inspect(hostile.qcow2_header(backing_offset=112))
    with pytest.raises(exceptions.ImportFailed, match='backing_file') as raised:
        RULES.check(found, declared, container)
    assert raised.value.code == 'unsafe_image' and raised.value.refused


@pytest.mark.parametrize(
    ('data', 'check'),
    [
        (hostile.qcow2_header(features=1 << 2), 'data_file'),
        (hostile.qcow2_header(features=1 << 40), 'unknown_features'),
        (hostile.qcow2_header(version=1), 'unknown_features'),
        (hostile.qcow2_header(size=(1 << 64) - 512), 'virtual_size'),
        (hostile.qcow2_header(backing_offset=112)[:300], 'backing_file'),
        (hostile.vmdk('monolithicFlat'), 'descriptor'),
        (hostile.vmdk(extent='RW 1 SPARSE "../disk"'), 'descriptor'),
        (hostile.vmdk(descriptor='GET / HTTP/1.1\nversion 2 of it\n'), 'descriptor'),
        (hostile.vmdk(footer=True), 'footer'),
        (hostile.vmdk_text().encode(), 'descriptor'),
        (hostile.vmdk_text().encode() + b'\xff' * 1000, 'descriptor'),
        (b'# x\n\nVERSION=1\r\n' + bytes(1000), 'descriptor'),
        (hostile.vhd(disk_type=4), 'differencing'),
        (hostile.vdi(image_type=4), 'differencing'),
        (hostile.vhdx(signature=b'none'), 'format'),
        (hostile.vhdx()[: 1 << 20], 'format'),
        (hostile.gpt(first_lba=5), 'mbr'),
        (hostile.gpt(boot_flag=7), 'mbr'),
        (hostile.gpt(second=True), 'mbr'),
        (hostile.gpt(kind=0), 'mbr'),
        (hostile.luks(version=2), 'version'),
        (hostile.qed(), 'banned'),
        (hostile.iso(head=hostile.qcow2_header()[:512]), 'several formats'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_unsafe_content_is_refused_even_as_raw(data, check):
    with pytest.raises(exceptions.ImportFailed, match=check) as raised:
        RULES.check(inspect(data), 'raw')
    assert raised.value.code == 'unsafe_image'
    assert 'declared as raw' in raised.value.message


@pytest.mark.parametrize(
    ('data', 'disk_format', 'size'),
    [
        (hostile.qcow2_header(), 'qcow2', 64 << 20),
        (hostile.vmdk(), 'vmdk', 64 << 20),
        (hostile.vhd(), 'vhd', 64 << 20),
        (hostile.vdi(), 'vdi', 64 << 20),
        (hostile.vhdx(), 'vhdx', 64 << 20),
        (hostile.iso(), 'iso', 64 << 10),
        (hostile.iso(hybrid=True), 'iso', 64 << 10),
        (hostile.gpt(), 'raw', 1024 + 65536),
        (bytes(100), 'raw', 100),
        (hostile.luks() + bytes(100_000), 'raw', 65536 + 100_000),
        (hostile.luks()[:104] + b'\xff' * 4 + bytes(9000), 'raw', 9108),  # begins behind its end
        (hostile.packed('gzip', b'disk'), 'raw', None),
    ],
)
@pytest.mark.parametrize('step', [100, 4096, 1 << 20])
def test_the_virtual_size_is_that_of_the_disk_in_whatever_pieces_it_comes(
    data, disk_format, size, step
):
    found = inspect(data, step)
    RULES.check(found, disk_format)
    assert found.virtual_size == size


def test_a_wrong_format_is_named_with_the_one_that_was_claimed():
    found = inspect(hostile.jpeg())
    with pytest.raises(exceptions.ImportFailed) as raised:
        RULES.check(found, 'qcow2')
    assert raised.value.code == 'format_mismatch'
    assert raised.value.message == (
        'The image is declared as qcow2, but its content is of format raw (it begins like JPEG). '
        'Failed check: format match.'
    )
    FormatRules(require_match=False).check(found, 'qcow2')


class Body:
    """Data without an end, in pieces that come slowly or quickly."""

    def __init__(self, head, piece):
        self.head, self.piece, self.given = head, piece, 0

    def readinto(self, buffer):
        count = min(len(buffer), self.piece)
        data = self.head[self.given : self.given + count].ljust(count, b'\0')
        buffer[:count] = data
        self.given += count
        return count


@pytest.mark.parametrize('piece', [1400, 1 << 20])
@pytest.mark.parametrize(
    ('head', 'declared', 'code'),
    [
        (hostile.jpeg(), 'qcow2', 'format_mismatch'),
        (hostile.html(), 'iso', 'format_mismatch'),
        (hostile.qcow2_header(), 'vmdk', 'format_mismatch'),
        (hostile.qcow2_header(features=1 << 2), 'qcow2', 'unsafe_image'),
        (hostile.vmdk('monolithicFlat'), 'vmdk', 'unsafe_image'),
        (hostile.gpt(first_lba=5), 'raw', 'unsafe_image'),
    ],
)
def test_wrong_content_is_refused_within_the_first_mebibyte(head, declared, code, piece):
    body, kept = Body(head, piece), []
    with pytest.raises(exceptions.ImportFailed) as raised:
        image_data.transfer(
            body,
            lambda data: kept.append(len(data)),
            hash_algo='sha512',
            inspector=RULES.inspector(declared, 'bare'),
        )
    assert raised.value.code == code
    assert HEAD_BYTES <= body.given <= 1 << 20 and sum(kept) < body.given


def test_what_is_wrong_at_the_end_alone_is_found_there():
    data = hostile.vmdk('streamOptimized', footer=True) + bytes(1 << 20)
    inspector = RULES.inspector('vmdk', 'bare')
    inspector.eat(memoryview(data))
    with pytest.raises(exceptions.ImportFailed, match='footer'):
        inspector.finish()


def test_containers_that_wrap_a_disk_take_what_has_no_signature():
    RULES.check(inspect(hostile.tar()), 'vmdk', 'ova')
    RULES.check(inspect(hostile.packed('gzip', b'disk')), 'qcow2', 'compressed')
    for container in ('bare', 'ami', None):
        with pytest.raises(exceptions.ImportFailed, match='begins like tar'):
            RULES.check(inspect(hostile.tar()), 'vmdk', container)
    with pytest.raises(exceptions.ImportFailed, match='content is of format vdi'):
        RULES.check(inspect(hostile.vdi()), 'vmdk', 'ova')


def test_what_an_import_unpacks_may_be_staged_packed():
    unpacking = FormatRules(unpacks=True)
    for kind in ('gzip', 'bzip2', 'xz', 'zip'):
        unpacking.check(inspect(hostile.packed(kind, b'disk')), 'qcow2', 'bare')
    with pytest.raises(exceptions.ImportFailed, match='tar'):
        unpacking.check(inspect(hostile.tar()), 'qcow2', 'bare')


def test_several_formats_at_once_are_refused_but_for_bootable_isos():
    with pytest.raises(exceptions.ImportFailed, match='several formats'):
        RULES.check(Finding(['iso', 'qcow2']), 'iso')
    RULES.check(Finding(['gpt', 'iso']), 'iso')


def test_vmdk_types_are_those_of_the_option():
    RULES.check(Finding(['vmdk'], vmdk_type='streamOptimized'), 'vmdk')
    with pytest.raises(exceptions.ImportFailed, match='monolithicFlat'):
        RULES.check(Finding(['vmdk'], vmdk_type='monolithicFlat'), 'vmdk')
    with pytest.raises(exceptions.ImportFailed, match='streamOptimized'):
        FormatRules(vmdk_types=frozenset({'monolithicsparse'})).check(
            Finding(['vmdk'], vmdk_type='streamOptimized'), 'vmdk'
        )


def test_gpt_checks_may_be_told_to_warn_only():
    found = Finding(['gpt'], failures=[['gpt', 'mbr', 'odd']])
    with pytest.raises(exceptions.ImportFailed, match='mbr'):
        RULES.check(found, 'raw')
    lenient = FormatRules(nonfatal_gpt_checks=frozenset({'mbr'}))
    lenient.check(found, 'raw')
    with pytest.raises(exceptions.ImportFailed):
        lenient.check(Finding(['vmdk'], failures=[['vmdk', 'mbr', 'odd']]), 'raw')


def test_the_options_have_the_meaning_that_they_have_in_glance():
    conf = cfg.ConfigOpts()
    image_import.register_opts(conf)
    conf([])
    assert FormatRules.from_conf(conf) == RULES
    group = 'image_format'
    conf.set_override('require_image_format_match', False, group)
    conf.set_override('vmdk_allowed_types', [], group)
    conf.set_override('gpt_safety_checks_nonfatal', ['mbr'], group)
    rules = FormatRules.from_conf(conf)
    rules.check(inspect(hostile.vdi()), 'qcow2')
    rules.check(inspect(hostile.gpt(first_lba=5)), 'raw')
    with pytest.raises(exceptions.ImportFailed, match='create_type'):
        rules.check(inspect(hostile.vmdk()), 'vmdk')
