# SPDX-License-Identifier: Apache-2.0
"""The plugin keeps the contract, refuses what lacks a property, and lets the rest pass."""

import pytest

from glance_lite.testing.plugins import ImportPluginContract


class TestRequireProperties(ImportPluginContract):
    plugin_name = 'require_properties'
    options = {'require_properties': {'names': 'os_distro, os_version'}}
    image = {'disk_format': 'qcow2', 'properties': {'os_distro': 'debian', 'os_version': '12'}}

    @pytest.mark.parametrize(
        'properties', [{}, {'os_distro': 'debian'}, {'os_distro': 'debian', 'os_version': ''}]
    )
    def test_an_image_that_lacks_a_property_is_refused(self, trial, source, properties):
        outcome = trial.import_file(source, properties=properties)
        assert outcome.code == 'plugin_rejected' and outcome.image.status == 'queued'
        assert 'os_version' in outcome.task.message
        assert trial.staged_files() == []
