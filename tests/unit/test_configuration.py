# SPDX-License-Identifier: Apache-2.0
"""Configuration files: wrong values stop the start, typos are pointed out."""

import logging
import sys

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


class Files:
    """A configuration that was loaded from a file, and what becomes of the file."""

    def __init__(self, tmp_path, text):
        self.path = tmp_path / 'x.conf'
        self.conf = load(tmp_path, text)

    def read(self, text):
        self.path.write_text(text)
        return configuration.read_again(self.conf, [], 'test')


def test_what_may_change_is_read_again_and_nothing_is_in_force_yet(tmp_path):
    files = Files(tmp_path, '[DEFAULT]\nimage_size_cap = 5\n[import]\ndeadline = 7\n')
    reading = files.read('[DEFAULT]\nimage_size_cap = 6\n')
    assert reading.conf.image_size_cap == 6 and reading.conf['import'].deadline == 86400
    assert reading.changes == ('image_size_cap = 6 (was 5)', '[import] deadline = 86400 (was 7)')
    assert reading.postponed == ()
    assert files.conf.image_size_cap == 5 and files.conf['import'].deadline == 7


def test_nothing_changed(tmp_path):
    files = Files(tmp_path, '[DEFAULT]\nimage_property_quota = 5\n')
    reading = files.read('[DEFAULT]\n# five\nimage_property_quota=5\n')
    assert (reading.changes, reading.postponed) == ((), ())


def test_what_needs_a_restart_keeps_its_value_and_is_named(tmp_path):
    text = '[DEFAULT]\nbind_port = 1\n[database]\nconnection = mysql://u:pa$$word@h/d\n'
    files = Files(tmp_path, text + '[glance_store]\nfilesystem_store_datadir = /a/b$$c\n')
    assert files.conf.database.connection == 'mysql://u:pa$word@h/d'
    reading = files.read('[DEFAULT]\nbind_port = 2\nenabled_backends = {a:file}\n')
    assert set(reading.postponed) == {
        'bind_port',
        'enabled_backends',
        '[database] connection',
        '[glance_store] filesystem_store_datadir',
    }
    assert reading.conf.bind_port == 1 and reading.conf.enabled_backends == {}
    assert reading.conf.database.connection == 'mysql://u:pa$word@h/d'
    assert reading.conf.glance_store.filesystem_store_datadir == '/a/b$c'


def test_values_of_secret_options_are_not_told(tmp_path, caplog):
    caplog.set_level(0)
    files = Files(tmp_path, '')
    reading = files.read('[web_download]\nhttp_proxy = http://u:sesame@h\n')
    configuration.adopt(files.conf, reading)
    assert reading.changes == ('[web_download] http_proxy = ***',)
    assert files.conf.web_download.http_proxy == 'http://u:sesame@h'
    assert 'sesame' not in caplog.text


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('[DEFAULT]\nimage_size_cap = many\n', 'image_size_cap'),
        ('[DEFAULT]\ndebug = perhaps\n', 'debug'),
        ('[DEFAULT]\nbind_port = 70000\n', 'bind_port'),
        ('[DEFAULT]\nenabled_backends = a:nfs\n', "no store type 'nfs'"),
        ('[DEFAULT]\nenabled_backends = a:file, b:file\n', 'default_backend'),
        ('[image_import_opts]\nimage_import_plugins = no_po\n', "Did you mean 'no_op'"),
        ('[image_import_opts]\nimage_import_plugins = no_op, no_op\n', 'twice'),
        ('no section', 'x.conf'),
    ],
)
def test_files_that_a_start_would_refuse_are_refused(tmp_path, capsys, text, named):
    files = Files(tmp_path, '[DEFAULT]\nimage_size_cap = 5\n')
    with pytest.raises(exceptions.ConfigError) as raised:
        files.read('[DEFAULT]\nimage_property_quota = 1\n' + text)
    assert named in str(raised.value) and capsys.readouterr().err == ''
    assert (files.conf.image_size_cap, files.conf.image_property_quota) == (5, 128)


def test_a_file_that_is_gone_is_refused_and_no_defaults_come_in_its_place(tmp_path):
    files = Files(tmp_path, '[import_filtering_opts]\nallowed_hosts = a.example.org\n')
    files.path.unlink()
    with pytest.raises(exceptions.ConfigError, match=r'x\.conf'):
        configuration.read_again(files.conf, [], 'test')


def test_options_of_plugins_are_compared_and_checked_too(tmp_path):
    files = Files(tmp_path, '[mine]\na = 1\nb = 1\n')
    files.conf.register_opts(
        [cfg.IntOpt('a', mutable=True), cfg.IntOpt('b'), cfg.StrOpt('c', required=True)], 'mine'
    )
    files.conf.set_default('b', 3, 'mine')
    reading = files.read('[mine]\na = 2\n')
    assert reading.changes == ('[mine] a = 2 (was 1)',)
    assert reading.postponed == ('[mine] b',)
    configuration.adopt(files.conf, reading)
    assert (files.conf.mine.a, files.conf.mine.b) == (2, 1)
    with pytest.raises(exceptions.ConfigError, match='valid'):
        files.read('[mine]\nb = x\n')


def test_the_configuration_follows_and_so_does_the_log(tmp_path):
    files = Files(tmp_path, '[DEFAULT]\nbind_port = 1\n')
    level = logging.getLogger().level
    try:
        text = '[DEFAULT]\nbind_port = 2\ndebug = true\nimage_tag_quota = 1\n'
        configuration.adopt(files.conf, files.read(text))
        assert logging.getLogger().level == logging.DEBUG
        assert (files.conf.image_tag_quota, files.conf.bind_port) == (1, 1)
        assert files.read(text).changes == () and files.read(text).postponed == ('bind_port',)
    finally:
        logging.getLogger().setLevel(level)


def test_files_that_change_while_they_are_read_are_told_of(tmp_path):
    files = Files(tmp_path, '')
    reading = files.read('[DEFAULT]\nimage_size_cap = 6\n')
    files.path.write_text('[DEFAULT]\nimage_size_cap = 7\n')
    with pytest.raises(exceptions.ConfigError, match='changed while they were read'):
        configuration.adopt(files.conf, reading)


LOGGING = '''
[loggers]
keys = root
[handlers]
keys = here
[formatters]
keys =
[logger_root]
level = INFO
handlers = here
[handler_here]
class = StreamHandler
args = (sys.stderr,)
'''


def test_a_log_that_has_a_file_of_its_own_still_goes_where_it_says(tmp_path):
    (tmp_path / 'logging.conf').write_text(LOGGING)
    files = Files(tmp_path, '')
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        text = f'[DEFAULT]\nlog_config_append = {tmp_path}/logging.conf\n'
        configuration.adopt(files.conf, files.read(text))
        assert [handler.stream for handler in root.handlers] == [sys.stderr]
    finally:
        root.handlers, level = before
        root.setLevel(level)


def test_an_argument_comes_before_the_files_again(tmp_path):
    path = tmp_path / 'x.conf'
    path.write_text('[DEFAULT]\ndebug = false\n')
    args = ['--config-file', str(path), '--debug']
    conf = cfg.ConfigOpts()
    configuration.load(conf, args)
    path.write_text('[DEFAULT]\nimage_size_cap = 1\n')
    reading = configuration.read_again(conf, args, 'test')
    assert reading.conf.debug and reading.changes == ('image_size_cap = 1 (was 1099511627776)',)


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
