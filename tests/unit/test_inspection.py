# SPDX-License-Identifier: Apache-2.0
"""Content is recognised for what it is, and unsafe content is refused whatever it is called."""

import pytest

from glance_lite import exceptions
from glance_lite.inspection import Finding, FormatRules, Inspector
from glance_lite.testing import images as samples

RULES = FormatRules(vmdk_types=frozenset({'streamoptimized', 'monolithicsparse'}))


def inspect(path, step=65536):
    inspector = Inspector()
    data = path.read_bytes()
    for at in range(0, len(data), step):
        inspector.eat(memoryview(data)[at : at + step])
    return inspector.finish()


@pytest.mark.parametrize('step', [511, 65536, 1 << 20])
def test_a_qcow2_disk_is_recognised_with_its_virtual_size(tmp_path, step):
    found = inspect(samples.write_qcow2(tmp_path / 'disk'), step)
    assert found.formats == ['qcow2'] and found.failures == []
    assert found.virtual_size and found.virtual_size >= 1 << 20
    RULES.check(found, 'qcow2')
    RULES.check(found, 'raw')


def test_a_backing_file_is_refused_whatever_the_disk_is_called(tmp_path):
    found = inspect(samples.write_qcow2(tmp_path / 'disk', backing_file='/etc/passwd'))
    for declared in ('qcow2', 'raw', 'vmdk'):
        with pytest.raises(exceptions.ImportFailed, match='backing_file') as raised:
            RULES.check(found, declared)
        assert raised.value.code == 'unsafe_image' and raised.value.refused


def test_another_format_than_declared_is_refused_unless_told_otherwise(tmp_path):
    path = tmp_path / 'picture'
    path.write_bytes(b'\xff\xd8\xff\xe0' + bytes(100_000))
    found = inspect(path)
    assert found.formats == ['raw']
    with pytest.raises(exceptions.ImportFailed, match='declared as qcow2') as raised:
        RULES.check(found, 'qcow2')
    assert raised.value.code == 'format_mismatch'
    FormatRules(require_match=False).check(found, 'qcow2')


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
