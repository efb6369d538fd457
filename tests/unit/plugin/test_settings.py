# SPDX-License-Identifier: Apache-2.0
"""``[import_plugin:NAME]`` is read strictly, and its conditions mean what they say."""

import dataclasses

import pytest

from glance_lite import configuration, exceptions
from glance_lite.plugin import loader, settings

FACTS = settings.Facts(
    method='web-download',
    disk_format='qcow2',
    container_format='bare',
    roles=frozenset({'member', 'reader'}),
    project='p1',
    size=10 * 1024 * 1024,
)


def section(**options):
    lines = [f'{name} = {value}' for name, value in options.items()]
    return '\n'.join(
        ['[image_import_opts]', 'image_import_plugins = no_op', '[import_plugin:no_op]', *lines, '']
    )


def load(make_conf, **options):
    return loader.load_plugins(make_conf(section(**options)))


@pytest.mark.parametrize(
    ('text', 'unmet'),
    [
        ('', None),
        ('method = web-download', None),
        ('method = glance-direct', 'method'),
        ('method = glance-direct | web-download', None),
        ('method != web-download', 'method'),
        ('disk_format = raw|qcow2', None),
        ('disk_format != raw', None),
        ('container_format = ova', 'container_format'),
        ('role = MEMBER', None),
        ('role = admin | auditor', 'role'),
        ('role != admin', None),
        ('role != reader', 'role'),
        ('project = p2 | p1', None),
        ('project != p1', 'project'),
        ('size <= 10 MiB', None),
        ('size < 10MiB', 'size'),
        ('size > 10485759', None),
        ('size >= 1 GiB', 'size'),
        ('disk_format = qcow2, size > 1 KiB, role = member', None),
        ('disk_format = qcow2, size > 1 TiB, role = member', 'size'),
    ],
)
def test_a_plugin_runs_when_all_conditions_hold(make_conf, text, unmet):
    found = load(make_conf, when=text).about('no_op').settings
    assert found.unmet(FACTS) == unmet


def test_a_format_that_is_not_set_is_no_format(make_conf):
    facts = dataclasses.replace(FACTS, disk_format=None)
    assert load(make_conf, when='disk_format = raw').about('no_op').settings.unmet(facts)
    assert not load(make_conf, when='disk_format != raw').about('no_op').settings.unmet(facts)


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        ({'when': 'disk_fromat = raw'}, "when: there is no field 'disk_fromat', only method, "),
        ({'when': 'disk_format = qcow'}, "when: there is no disk_format 'qcow', only aki, "),
        ({'when': 'method = copy-image'}, "when: there is no method 'copy-image', only "),
        ({'when': 'disk_format < raw'}, "when: disk_format is compared by = or !=, not by '<'"),
        ({'when': 'size = 5'}, "when: size is compared by <, <=, > or >=, not by '='"),
        ({'when': 'size < 5 GB'}, "when: '5 GB' is not a size such as 10 GiB"),
        ({'when': 'size < -1'}, "when: '-1' is not a size such as 10 GiB"),
        ({'when': 'raw'}, "when: 'raw' is not a condition such as 'disk_format = raw'"),
        ({'when': 'role = admin,'}, "when: '' is not a condition"),
        ({'when': 'role = admin |'}, "when: 'role = admin |' has an empty value"),
        ({'timeout': '0'}, 'timeout'),
        ({'timeout': 'soon'}, 'timeout'),
        ({'on_error': 'ignore'}, 'on_error'),
    ],
)
def test_a_wrong_value_stops_the_start_and_names_the_section(make_conf, options, sentence):
    with pytest.raises(exceptions.ConfigError) as caught:
        load(make_conf, **options)
    assert 'import_plugin:no_op' in str(caught.value) and sentence in str(caught.value)


def test_a_section_about_a_plugin_that_is_not_installed_stops_the_start(make_conf):
    with pytest.raises(exceptions.ConfigError) as caught:
        loader.load_plugins(make_conf('[import_plugin:no_opp]\ntimeout = 5\n'))
    assert str(caught.value) == (
        "The section [import_plugin:no_opp] is about a plugin 'no_opp', which is not installed. "
        'Did you mean [import_plugin:no_op]?'
    )


def test_a_section_about_a_plugin_that_is_not_enabled_is_let_be(make_conf):
    assert loader.load_plugins(make_conf('[import_plugin:no_op]\ntimeout = 5\n')).names == []


def test_an_option_that_nothing_reads_is_told(make_conf):
    conf = make_conf(section(timeuot=5))
    loader.load_plugins(conf)
    [sentence] = configuration.find_unknown(conf)
    assert sentence.endswith(
        'nothing reads the option timeuot of [import_plugin:no_op]. Did you mean timeout?'
    )
