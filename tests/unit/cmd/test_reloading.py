# SPDX-License-Identifier: Apache-2.0
"""A reload puts all rules into force or none, and says which."""

import logging
import os
import time

import pytest
from oslo_config import cfg

from glance_lite import configuration, deploy
from glance_lite.cmd.reloading import Reloader
from glance_lite.domain import image as domain
from glance_lite.remote.url_filter import UrlRefused
from glance_lite.supervisor import Hangup
from glance_lite.testing import images
from glance_lite.testing.trial import Trial

URL = 'http://192.0.2.1/disk'


class Service:
    """A trial of the service, its file, and what reloads it."""

    def __init__(self, directory):
        self.trial = Trial(
            directory,
            ['inject_image_metadata'],
            {
                'DEFAULT': {'image_tag_quota': 3},
                'inject_metadata_properties': {'inject': 'a:1'},
                'import_filtering_opts': {'allowed_hosts': '192.0.2.1'},
            },
        )
        self.services = self.trial.services
        self.path = directory / 'glance-api.conf'
        self.reloader = Reloader(self.trial.conf, [], 'test')

    def write(self, *replaced):
        text = self.path.read_text()
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        self.path.write_text(text)

    def reload(self, *replaced):
        self.write(*replaced)
        return self.reloader.reload(self.services, alone=True)


@pytest.fixture
def service(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    service = Service(tmp_path)
    caplog.clear()
    yield service
    service.services.db.dispose()
    service.trial.close()


def messages(caplog, level):
    return [record.getMessage() for record in caplog.records if record.levelno == level]


def test_new_rules_are_in_force_for_what_begins_afterwards(service, tmp_path, caplog):
    before = service.services.rules
    assert service.reload(
        ('image_tag_quota = 3', 'image_tag_quota = 1'),
        ('inject = a:1', 'inject = b:2'),
        ('allowed_hosts = 192.0.2.1', 'allowed_hosts = 192.0.2.2'),
    )
    assert service.services.rules is not before
    assert service.services.conf.image_tag_quota == 1
    assert messages(caplog, logging.INFO) == [
        'Reloading the configuration: image_tag_quota = 1 (was 3)',
        "Reloading the configuration: [import_filtering_opts] allowed_hosts = ['192.0.2.2'] "
        "(was ['192.0.2.1'])",
        'Reloading the configuration: [inject_metadata_properties] inject = b:2 (was a:1)',
        'The configuration is reloaded',
    ]
    image = service.trial.import_file(images.write_qcow2(tmp_path / 'source')).image
    assert (image.status, image.properties) == (domain.ACTIVE, {'b': '2'})
    with pytest.raises(UrlRefused):
        service.services.url_filter.check_url(URL)


def test_what_was_taken_before_stays_as_it_is(service):
    rules = service.services.rules
    assert service.reload(
        ('image_tag_quota = 3', 'image_tag_quota = 1'), ('192.0.2.1', '192.0.2.2')
    )
    assert rules.conf is service.trial.conf and rules.conf.image_tag_quota == 3
    assert rules.url_filter.check_url(URL).host == '192.0.2.1'


@pytest.mark.parametrize(
    ('old', 'new', 'named'),
    [
        ('allowed_hosts = 192.0.2.1', 'allowed_hosts = http://x', 'allowed_hosts'),
        ('inject = a:1', 'inject = a', "'a' has no value"),
        ('inject = a:1', 'inject = status:active', 'inject'),
        ('image_tag_quota = 3', 'image_tag_quota = x', 'image_tag_quota'),
        ('[import_filtering_opts]', '[web_download]\nca_file = /x/y\n[z]', 'ca_file'),
        ('[import_filtering_opts]', 'z\n[z]', 'glance-api.conf'),
    ],
)
def test_a_file_with_one_fault_changes_nothing(service, caplog, old, new, named):
    before = service.services.rules
    good = 'node_staging_uri'
    assert not service.reload((good, f'image_property_quota = 7\n{good}'), (old, new))
    assert service.services.rules is before and before.conf.image_property_quota == 128
    (error,) = messages(caplog, logging.ERROR)
    assert error.startswith('The configuration is not reloaded, and everything stays as it was: ')
    assert named in error and 'Traceback' not in caplog.text
    assert service.reload((new, old)), 'a good file must be taken afterwards'
    assert service.services.conf.image_property_quota == 7


def test_what_needs_a_restart_is_warned_of(service, caplog):
    assert service.reload(('[database]', '[api]\nrequest_threads = 3\n[database]'))
    assert messages(caplog, logging.WARNING) == [
        '[api] request_threads was changed; it takes effect at the next start'
    ]
    assert service.services.conf.api.request_threads == 32


def test_a_file_as_it_was_is_told_as_such(service, caplog):
    assert service.reload()
    assert messages(caplog, logging.INFO) == ['Reloading the configuration: nothing changed']


@pytest.mark.parametrize(
    'sign_in', ['', 'auth_type = password\nusername = u', 'auth_type = v3token\ntoken = t']
)
def test_what_the_libraries_add_at_the_start_is_no_change(service, caplog, sign_in):
    if sign_in:
        section = f'[keystone_authtoken]\nauth_url = http://127.0.0.1:9/v3\n{sign_in}\n'
        service.write(('[database]', f'{section}[database]'))
        conf = cfg.ConfigOpts()
        configuration.load(conf, files=[str(service.path)])
        service.services = deploy.build_services(conf)
    deploy.loadapp(service.services.conf, service.services)
    caplog.clear()
    assert service.reload()
    assert [record.getMessage() for record in caplog.records] == [
        'Reloading the configuration: nothing changed'
    ]


def test_the_plugins_are_logged_at_the_start_alone(service, caplog):
    deploy.build_services(service.trial.conf).db.dispose()
    assert service.reload(('image_tag_quota = 3', 'image_tag_quota = 1'))
    lines = [line for line in messages(caplog, logging.INFO) if 'plugins' in line]
    assert lines == ['Import plugins in order: inject_image_metadata']


def test_a_misspelt_option_is_warned_of(service, caplog):
    assert service.reload(('image_tag_quota', 'image_tag_qouta'))
    assert messages(caplog, logging.WARNING) == [
        'glance-api.conf: nothing reads the option image_tag_qouta of [DEFAULT]. '
        'Did you mean image_tag_quota?'
    ]


def test_an_import_that_waits_gets_the_new_rules_and_keeps_its_plugins(service, tmp_path):
    task_id = service.trial.post(service.trial.stage(images.write_qcow2(tmp_path / 'source')))
    assert service.reload(
        ('inject = a:1', 'inject = b:2'),
        ('image_import_plugins = inject_image_metadata', 'image_import_plugins ='),
    )
    assert service.services.plugins.names == ['inject_image_metadata']
    assert service.trial.run(task_id).image.properties == {'b': '2'}


def test_the_log_becomes_as_talkative_as_the_file_says(service):
    root = logging.getLogger()
    assert service.reload(('[DEFAULT]', '[DEFAULT]\ndebug = true'))
    assert root.level == logging.DEBUG
    assert service.reload(('debug = true', 'debug = false'))
    assert root.level == logging.INFO


def test_each_hangup_is_followed(service):
    hangup = Hangup()
    service.reloader.follow(service.services, hangup)
    for quota in (4, 5):
        before = service.services.rules
        service.write((f'image_tag_quota = {quota - 1}', f'image_tag_quota = {quota}'))
        hangup.set()
        end = time.monotonic() + 20
        while service.services.rules is before and time.monotonic() < end:
            os.sched_yield()
        assert service.services.conf.image_tag_quota == quota


def test_the_section_of_a_plugin_is_read_again(service, tmp_path, caplog):
    section = '[import_plugin:inject_image_metadata]\nwhen = disk_format = iso\n'
    assert service.reload(('[image_import_opts]', f'{section}[image_import_opts]'))
    outcome = service.trial.import_file(images.write_qcow2(tmp_path / 'source'))
    assert outcome.image.properties == {}
    assert outcome.task.receipts[0]['outcome'] == 'skipped'
    caplog.clear()
    assert not service.reload(('when = disk_format = iso', 'when = disk_format = qcow'))
    [refusal] = messages(caplog, logging.ERROR)
    assert "[import_plugin:inject_image_metadata] when: there is no disk_format 'qcow'" in refusal
