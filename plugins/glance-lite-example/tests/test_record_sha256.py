# SPDX-License-Identifier: Apache-2.0
"""The plugin keeps the contract, and what it records is right."""

import hashlib

from glance_lite.testing.plugins import ImportPluginContract


class TestRecordSha256(ImportPluginContract):
    plugin_name = 'record_sha256'
    options = {'record_sha256': {'property': 'content_sha256'}}

    def test_the_property_is_the_hash_of_the_data(self, trial, source):
        image = trial.import_file(source).image
        expected = hashlib.sha256(source.read_bytes()).hexdigest()
        assert image.properties == {'content_sha256': expected}
