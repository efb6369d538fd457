# SPDX-License-Identifier: Apache-2.0
"""The store of URLs keeps the contract, fetches under the filter, and believes no source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.conf import import_filtering, web_download
from glance_lite.stores import base
from glance_lite.stores.http import HttpStore
from glance_lite.stores.registry import StoreRegistry
from glance_lite.testing.stores import DATA, ReadOnlyStoreContract, drain, read
from tests.origin import Origin


@pytest.fixture(scope='module')
def served() -> Iterator[Origin]:
    with Origin.serving() as origin:
        yield origin


@pytest.fixture
def origin(served: Origin) -> Origin:
    served.manner = 'ranges'
    served.asked.clear()
    return served


class TestHttpStore(ReadOnlyStoreContract):
    store_class = HttpStore
    foreign_urls = ('', 'no url', 'file:///etc/passwd', 'FILE:///etc/passwd', 'memory://o/i.one',
                    'filesystem:///etc/passwd', 'swift+config://x/y')  # fmt: skip

    @pytest.fixture(autouse=True)
    def _serving(self, origin: Origin) -> None:
        self.origin = origin

    def prepare(self, conf: cfg.ConfigOpts) -> None:
        import_filtering.register_opts(conf)
        web_download.register_opts(conf)
        conf.set_override('permitted_networks', ['127.0.0.0/8'], 'import_filtering_opts')
        conf.set_override('allowed_ports', [], 'import_filtering_opts')
        conf.set_override('retries', 0, 'web_download')

    def place(self, store: base.Store, data: bytes) -> str:
        return self.origin.publish(data)

    def test_only_the_range_is_fetched(self, store: base.Store) -> None:
        url = self.place(store, DATA)
        reader = store.open_reader(url, 100, 50)
        assert (reader.length, reader.total, drain(reader)) == (50, len(DATA), DATA[100:150])
        assert self.origin.asked == ['bytes=100-149']

    @pytest.mark.parametrize('manner', ['no ranges', 'chunks'])
    def test_a_source_without_ranges_is_read_from_its_start(
        self, store: base.Store, manner: str
    ) -> None:
        self.origin.manner = manner
        url = self.place(store, DATA)
        reader = store.open_reader(url, 1_048_570, 20)
        assert drain(reader) == DATA[1_048_570:1_048_590]

    def test_a_source_that_ends_before_the_range_is_an_error(self, store: base.Store) -> None:
        self.origin.manner = 'chunks'
        reader = store.open_reader(self.place(store, DATA[:1000]), 2000, 200)
        with pytest.raises(exceptions.StoreError):
            reader.readinto(bytearray(300))
        reader.close()

    def test_a_source_that_ends_within_the_range_shows(self, store: base.Store) -> None:
        self.origin.manner = 'chunks'
        reader = store.open_reader(self.place(store, DATA[:1000]), 900, 200)
        assert reader.length == 200  # so much was asked for, and nobody said less
        with pytest.raises(exceptions.StoreError):
            drain(reader)
        reader.close()

    def test_the_size_of_the_whole_is_known_with_a_part(self, store: base.Store) -> None:
        assert store.open_reader(self.place(store, DATA[:1000]), 10, 20).total == 1000

    def test_what_is_not_there_is_not_told_from_what_the_source_says(
        self, store: base.Store
    ) -> None:
        with pytest.raises(exceptions.StoreDataNotFound) as found:
            store.size(self.origin.url + '/none')
        assert 'secret' not in str(found.value)

    @pytest.mark.parametrize(
        'url',
        [
            'http://169.254.169.254/latest',
            'http://10.0.0.1/x',
            'http://2130706433/',
            'http://127.0.0.1\\@203.0.113.1/',
        ],
    )
    def test_the_filter_judges_each_url(self, store: base.Store, url: str) -> None:
        with pytest.raises(exceptions.ImportFailed) as refused:
            store.check_url(url)
        assert refused.value.code == 'filtered_uri'
        with pytest.raises(exceptions.StoreError):
            read(store, url)

    def test_credentials_are_no_part_of_a_location(self, store: base.Store) -> None:
        with pytest.raises(exceptions.InvalidRequest) as refused:
            store.check_url(self.origin.url.replace('http://', 'http://me:secret@') + '/x')
        assert 'secret' not in str(refused.value)

    def test_a_filter_that_is_read_again_is_in_force(self, store: base.Store) -> None:
        url = self.place(store, DATA)
        assert store.size(url)
        conf = cfg.ConfigOpts()
        import_filtering.register_opts(conf)
        web_download.register_opts(conf)
        conf([], project='again', default_config_files=[])
        store.reconfigure(conf)
        with pytest.raises(exceptions.StoreError):
            store.size(url)


def test_it_cannot_be_where_data_goes_by_default(make_conf: Any) -> None:
    conf = make_conf(stores='fast:http, cold:file')
    with pytest.raises(exceptions.ConfigError, match='the store fast is read-only'):
        StoreRegistry.from_conf(conf)
    stores = StoreRegistry.from_conf(make_conf(stores='fast:file, web:http'))
    assert [store.read_only for store in stores] == [False, True]
