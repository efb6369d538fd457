# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage config`` and ``uri`` find what is wrong, and say why something is so."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from oslo_config import cfg

from glance_lite.cmd import manage
from tests.origin import PERMIT


@pytest.fixture
def run(make_conf, capsys):
    """Return a function that runs the program with more text in the file."""

    def run(*words, extra=''):
        path = make_conf(extra).config_file[0]
        capsys.readouterr()
        status = manage.main(['--config-file', path, *words], cfg.ConfigOpts())
        said = capsys.readouterr()
        assert 'Traceback' not in said.err
        return status, said.out, said.err

    return run


@pytest.fixture
def check(run):
    """Return a function that checks a configuration: exit status, and findings by check."""

    def check(extra=''):
        status, out, _ = run('config', 'check', '--json', extra=extra)
        found = json.loads(out)['checks']
        return status, {each['check']: (each['state'], each['details']) for each in found}

    return check


def test_a_good_configuration_is_good_in_every_part(run):
    status, out, err = run('config', 'check')
    lines = out.splitlines()
    assert (err, len(lines)) == ('', 13)
    assert status == ('doubtful  Staging space' in out)  # the disk of the test may be small
    assert lines[0].startswith('files: ') and lines[0].endswith('/glance-api.conf')
    assert all(line.startswith('good') for line in lines[1:] if 'Staging space' not in line)


@pytest.mark.parametrize(
    ('extra', 'part', 'sentence'),
    [
        (
            '[import_filtering_opts]\nallowed_host = a\n',
            'Options',
            'nothing reads the option allowed_host of [import_filtering_opts]. Did you mean',
        ),
        (
            '[import_filtering_opts]\nallowed_hosts = no-such-host.invalid\n',
            'Import filter',
            'allowed_hosts: no-such-host.invalid has no address here.',
        ),
        (
            '[import_filtering_opts]\nallowed_ports = 80,443\ndisallowed_ports = 443\n',
            'Import filter',
            'allowed_ports and disallowed_ports both have 443, which is refused.',
        ),
        (
            '[image_import_opts]\nimage_import_plugins = no_op\n',
            'Policy rules',
            'Members may upload past all import plugins (upload_image)',
        ),
        (
            '[image_import_opts]\nimage_import_plugins = inject_image_metadata\n'
            '[inject_metadata_properties]\ninject = tier:gold\n',
            'Property protections',
            'properties that imports inject: tier.',
        ),
        (
            '[DEFAULT]\nuse_keystone_limits = true\nuser_storage_quota = 5GB\n'
            'project_image_quota = 0\n[oslo_limit]\nendpoint_id = x\nauth_type = password\n'
            'auth_url = http://127.0.0.1:9\nusername = x\npassword = y\n',
            'Limits',
            'use_keystone_limits: user_storage_quota, project_image_quota.',
        ),
    ],
)
def test_what_would_surprise_is_doubtful(check, extra, part, sentence):
    status, found = check(extra)
    assert status == 1
    assert found[part][0] == 'doubtful' and sentence in found[part][1]


@pytest.mark.parametrize(
    ('extra', 'part', 'sentence'),
    [
        ('[image_import_opts]\nimage_import_plugins = nope\n', 'Import plugins', "'nope'"),
        ('[oslo_policy]\npolicy_file = gone.yaml\n', 'Policy file', 'gone.yaml'),
        ('[import_filtering_opts]\nallowed_hosts = a/b\n', 'Import filter', 'CIDR'),
        ('[oslo_messaging_notifications]\ndriver = pigeon\n', 'Notifications', "'pigeon'"),
        ('[DEFAULT]\nuse_keystone_limits = true\n', 'Limits', '[oslo_limit] auth_type'),
        ('[import_plugin:nope]\ntimeout = 5\n', 'Import plugins', '[import_plugin:nope]'),
    ],
)
def test_what_would_stop_the_start_is_bad(check, extra, part, sentence):
    status, found = check(extra)
    assert status == 2
    assert found[part][0] == 'bad' and sentence in found[part][1]


@pytest.mark.parametrize(
    ('content', 'state', 'sentence'),
    [
        ('{"tier": {"type": "string"}}', 'good', 'Described are: tier.'),
        ('{"tier": {"enum": ["gold", "lead"]}}', 'good', 'Described are: tier.'),
        ('{"tier": {"enum": ["silver"]}}', 'doubtful', 'does not permit: tier.'),
        ('{"tier": {"type": "integer"}}', 'bad', "the type of 'tier' must be string"),
    ],
)
def test_the_description_of_properties(check, tmp_path, content, state, sentence):
    (tmp_path / 'schema-image.json').write_text(content)
    _, found = check(
        '[image_import_opts]\nimage_import_plugins = inject_image_metadata\n'
        '[inject_metadata_properties]\ninject = tier:gold\n'
    )
    assert found['Image properties'][0] == state and sentence in found['Image properties'][1]


def test_no_upload_passes_the_plugins_where_import_is_required(check):
    plugins = '[image_import_opts]\nimage_import_plugins = no_op\n'
    assert check(plugins + '[import]\nrequire_import = true\n')[1]['Policy rules'][0] == 'good'


def test_rules_that_defeat_each_other_are_found(check, tmp_path):
    (tmp_path / 'rules.yaml').write_text(
        '"modify_image": "role:admin"\n"upload_image": "role:admin"\n"get_image": "role:admin"\n'
    )
    status, found = check('[oslo_policy]\npolicy_file = rules.yaml\n')
    state, sentence = found['Policy rules']
    assert (status, state) == (1, 'doubtful')
    assert 'Members may create images (add_image), but neither import nor upload' in sentence
    assert 'Members may list images (get_images), but see none (get_image).' in sentence


def test_a_file_that_cannot_be_read_is_one_sentence(capsys):
    words = ['--config-file', '/no/such/file.conf', 'config', 'check']
    assert manage.main(words, cfg.ConfigOpts()) == 2
    assert capsys.readouterr().err.count('\n') == 1


def test_an_option_is_explained_with_its_line(run):
    extra = '[import]\ndeadline = 5\n# deadline = 6\ndeadline = 7\n[task]\n'
    status, out, err = run('config', 'explain', 'deadline', extra=extra)
    assert (status, err) == (0, '')
    lines = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert out.startswith('[import] deadline = 7\n')
    assert lines['from'].endswith('glance-api.conf, line 17')
    assert lines['default'] == '86400' and 'SIGHUP' in lines['changes']


@pytest.mark.parametrize('words', ['[import] deadline', 'import.deadline', 'deadline'])
def test_an_option_can_be_named_in_three_ways(run, words):
    out = run('config', 'explain', words)[1]
    assert out.startswith('[import] deadline = 86400\nfrom      the default; no file sets it\n')


def test_the_value_of_a_secret_option_is_not_shown(run):
    extra = '[conductor]\nboard_url = redis://:hush@127.0.0.1\n'
    for form in ((), ('--json',)):
        out = run('config', 'explain', 'board_url', *form, extra=extra)[1]
        assert '***' in out and 'hush' not in out


def test_the_options_of_plugins_are_explained(run):
    extra = (
        '[image_import_opts]\nimage_import_plugins = no_op\n[import_plugin:no_op]\ntimeout = 7\n'
    )
    found = json.loads(
        run('config', 'explain', 'import_plugin:no_op.timeout', '--json', extra=extra)[1]
    )
    assert (found['group'], found['value'], found['default']) == ('import_plugin:no_op', 7, None)


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        ('deadlin', "There is no option 'deadlin'. Did you mean deadline?"),
        ('filesystem_store_datadir', 'Several groups have such an option: '),
        ('[x] y', "There is no option '[x] y'."),
    ],
)
def test_an_option_that_is_not_one_is_told(run, words, sentence):
    status, out, err = run('config', 'explain', words)
    assert (status, out) == (1, '') and sentence in err


@pytest.mark.parametrize(
    ('url', 'extra', 'status', 'words'),
    [
        ('http://192.0.2.1/x', '', 1, 'which [import_filtering_opts] permitted_networks'),
        ('http://8.8.8.8/x', '', 0, '8.8.8.8: permitted, it is public'),
        ('http://8.8.8.8:81/x', '', 1, 'its port 81 is not in'),
        ('ftp://user:hush@h/x', '', 1, 'its scheme ftp is not in'),
        ('http://0x7f.1/x', '', 1, 'is refused'),
        ('http://127.0.0.1/x', PERMIT, 0, 'permitted_networks has it (loopback range)'),
        ('http://[::ffff:127.0.0.1]/x', PERMIT, 0, 'permitted_networks has it'),
        ('http://localhost/x', '', 1, '127.0.0.1: refused, its host localhost has an address'),
        ('http://no-such-host.invalid/x', '', 1, 'cannot be resolved'),
    ],
)
def test_a_url_is_judged_with_each_address(run, url, extra, status, words):
    found, out, err = run('uri', 'check', url, extra=extra)
    assert (found, err) == (status, '') and words in out and 'hush' not in out
    document = json.loads(run('uri', 'check', url, '--json', extra=extra)[1])
    assert document['permitted'] is (status == 0)


@pytest.fixture
def redirecting():
    """Serve redirects: /ok to /data, /away to an address that is refused, /missing to nothing."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            target = {'/ok': '/data', '/away': 'http://169.254.169.254/latest'}.get(self.path)
            self.send_response(302 if target else 200 if self.path == '/data' else 404)
            if target:
                self.send_header('Location', target)
            self.send_header('Content-Length', '0')
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    server.server_close()


def test_redirects_are_followed_and_judged_on_request(run, redirecting):
    status, out, err = run('uri', 'check', '--fetch', f'{redirecting}/ok', extra=PERMIT)
    assert (status, err) == (0, '')
    assert f'{redirecting}/ok\n' in out and f'{redirecting}/data\n' in out
    assert out.endswith('The source answers with status 200.\nPermitted.\n')
    status, out, err = run('uri', 'check', '--fetch', f'{redirecting}/away', extra=PERMIT)
    assert status == 1 and 'it redirects to another that is refused' in out
    assert run('uri', 'check', '--fetch', f'{redirecting}/missing', extra=PERMIT)[0] == 1
