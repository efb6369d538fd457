# SPDX-License-Identifier: Apache-2.0
"""Configuration files: wrong values stop the start, typos are pointed out."""

import pytest
from oslo_config import cfg

from glance_lite import configuration, exceptions


def load(tmp_path, text):
    path = tmp_path / 'x.conf'
    path.write_text(text)
    conf = cfg.ConfigOpts()
    configuration.load(conf, files=[str(path)])
    return conf


def test_unknown_options_and_sections_are_named_with_a_suggestion(tmp_path):
    conf = load(
        tmp_path,
        '[DEFAULT]\nbind_prot = 1\n[image_import_opt]\nx = 1\n[image_format]\nvmdk_types = a\n',
    )
    assert configuration.find_unknown(conf) == [
        'x.conf: nothing reads the option bind_prot of [DEFAULT]. Did you mean bind_port?',
        'x.conf: nothing reads the section [image_import_opt]. Did you mean image_import_opts?',
        'x.conf: nothing reads the option vmdk_types of [image_format].'
        ' Did you mean vmdk_allowed_types?',
    ]


def test_known_files_and_sections_of_libraries_are_no_typos(tmp_path):
    conf = load(
        tmp_path,
        '[DEFAULT]\ndebug = true\nenabled_backends = {a:file}\n[a]\nfilesystem_store_datadir=/x\n'
        '[keystone_authtoken]\nwhatever = 1\n[database]\nmax_retries = 1\n',
    )
    assert configuration.find_unknown(conf) == []


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('[DEFAULT]\nbind_port = 70000\n', 'bind_port'),
        ('[DEFAULT]\nenabled_import_methods = [glance-direct, web-dwnload]\n', 'web-dwnload'),
        ('[DEFAULT]\nenabled_backends = a:nfs\n', "no store type 'nfs'"),
        ('[image_format]\nrequire_image_format_match = perhaps\n', 'require_image_format_match'),
        ('[conductor]\nlease = 0\n', 'lease'),
        ('no section', 'x.conf'),
    ],
)
def test_a_wrong_value_stops_the_start(tmp_path, text, named):
    with pytest.raises(exceptions.ConfigError) as raised:
        load(tmp_path, text)
    assert named in str(raised.value)


def test_glance_spellings_are_understood(tmp_path):
    conf = load(
        tmp_path,
        '[DEFAULT]\nenabled_import_methods = [web-download]\n'
        '[image_import_opts]\nimage_import_plugins = [no_op, inject_image_metadata]\n'
        "[image_format]\nvmdk_allowed_types = ['a', 'b']\n",
    )
    assert conf.enabled_import_methods == ['web-download']
    assert conf.image_import_opts.image_import_plugins == ['no_op', 'inject_image_metadata']
    assert conf.image_format.vmdk_allowed_types == ['a', 'b']
