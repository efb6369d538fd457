# SPDX-License-Identifier: Apache-2.0
"""The memory store keeps the contract of stores, and its capacity."""

import pytest

from glance_lite import exceptions
from glance_lite.stores.memory import MemoryStore
from glance_lite.testing.stores import StoreContract, has, put


class TestMemoryStore(StoreContract):
    store_class = MemoryStore


class TestCapacity(StoreContract):
    store_class = MemoryStore

    def options(self, directory):
        return {'memory_store_capacity': 10_000_000}

    def test_it_holds_no_more_than_its_capacity(self, store):
        first = put(store, 'image', 'one', bytes(6_000_000))
        writer = store.open_writer('image', 'two')
        writer.write(memoryview(bytes(6_000_000)))
        with pytest.raises(exceptions.StoreFull):
            writer.commit()
        assert has(store, first.url) and len(store.data) == 1
