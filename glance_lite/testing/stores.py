# SPDX-License-Identifier: Apache-2.0
"""The contract of a store (``glance_lite.stores.base``), as tests that its author subclasses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from glance_lite import exceptions
from glance_lite.stores import base

#: More than one buffer, and no multiple of one.
DATA = bytes(range(251)) * 10_007


class _ReadingContract:
    """What every store passes, and how a test gets one of its own."""

    #: The class that is tested.
    store_class: type[base.Store]
    #: URLs under which the store has nothing.
    foreign_urls: tuple[str, ...] = (
        '',
        'no url',
        'file:///etc/passwd',
        'file:///../etc/passwd',
        'memory://other/image.one',
        'http://localhost/image.one',
    )

    def place(self, store: base.Store, data: bytes) -> str:
        """Have the store hold ``data``; return its URL."""
        raise NotImplementedError

    def prepare(self, conf: cfg.ConfigOpts) -> None:
        """Set options that are not the store's own."""

    def options(self, directory: Path) -> dict[str, Any]:
        """Return the options of the store; ``directory`` is new for each test."""
        return {}

    @pytest.fixture
    def store(self, tmp_path: Path) -> base.Store:
        """Return a store with its options."""
        conf = cfg.ConfigOpts()
        conf.register_opts(self.store_class.list_opts(), group='mine')
        conf([], project='store-contract', default_config_files=[])
        self.prepare(conf)
        for name, value in self.options(tmp_path).items():
            conf.set_override(name, value, 'mine')
        return self.store_class('mine', conf, 'mine')

    def test_what_is_there_can_be_read(self, store: base.Store) -> None:
        url = self.place(store, DATA)
        assert store.size(url) == len(DATA)
        assert read(store, url) == DATA

    @pytest.mark.parametrize(
        ('offset', 'length', 'expected'),
        [
            (0, 10, DATA[:10]),
            (5, None, DATA[5:]),
            (1_048_570, 20, DATA[1_048_570:1_048_590]),
            (len(DATA) - 1, 1, DATA[-1:]),
            (len(DATA) - 3, 100, DATA[-3:]),
            (7, 0, b''),
        ],
    )
    def test_a_range_can_be_read(
        self, store: base.Store, offset: int, length: int | None, expected: bytes
    ) -> None:
        if not store.can_seek and offset:
            pytest.skip('the store reads only from the start')
        url = self.place(store, DATA)
        reader = store.open_reader(url, offset, length)
        assert reader.length == len(expected)
        assert drain(reader) == expected

    def test_readers_do_not_disturb_each_other(self, store: base.Store) -> None:
        url = self.place(store, DATA)
        first, second = store.open_reader(url), store.open_reader(url)
        piece = bytearray(100)
        first.readinto(piece)
        assert drain(second) == DATA
        assert bytes(piece) + drain(first) == DATA
        first.close()

    def test_a_url_that_is_not_of_this_store_finds_nothing(self, store: base.Store) -> None:
        for url in self.foreign_urls:
            for call in (store.open_reader, store.size, store.delete):
                with pytest.raises(exceptions.StoreDataNotFound):
                    call(url)


class ReadOnlyStoreContract(_ReadingContract):
    """Tests that a store passes which only reads what others write::

        class TestMyStore(ReadOnlyStoreContract):
            store_class = MyStore

            def place(self, store, data):
                return publish_somewhere(data)

    Each test gets a store of its own.
    """

    def test_it_says_that_it_is_read_only(self, store: base.Store) -> None:
        assert store.read_only and store.external_schemes

    def test_nothing_can_be_written_or_deleted(self, store: base.Store) -> None:
        with pytest.raises(exceptions.StoreError):
            store.open_writer('image', 'one')
        url = self.place(store, DATA)
        with pytest.raises(exceptions.StoreError):
            store.delete(url)
        store.discard_attempts('image')
        assert read(store, url) == DATA

    def test_it_lists_nothing(self, store: base.Store) -> None:
        assert store.list_data() is None


class StoreContract(_ReadingContract):
    """Tests that every store passes which takes data::

        class TestMyStore(StoreContract):
            store_class = MyStore

            def options(self, directory):
                return {'my_store_address': 'localhost'}

    Each test gets a store of its own, which begins empty.
    """

    #: Whether the store knows how much space it has, and refuses what cannot fit.
    knows_space: bool = True

    def place(self, store: base.Store, data: bytes) -> str:
        return put(store, 'image', 'one', data).url

    def test_what_is_written_can_be_read(self, store: base.Store) -> None:
        stored = put(store, 'image', 'one', DATA)
        assert stored.size == store.size(stored.url) == len(DATA)
        assert read(store, stored.url) == DATA

    def test_the_buffer_may_be_used_again(self, store: base.Store) -> None:
        writer = store.open_writer('image', 'one')
        buffer = bytearray(b'first')
        writer.write(memoryview(buffer))
        buffer[:] = b'other'
        writer.write(memoryview(buffer))
        assert read(store, writer.commit().url) == b'firstother'

    def test_no_bytes_are_data_too(self, store: base.Store) -> None:
        stored = put(store, 'image', 'one', b'')
        assert (stored.size, read(store, stored.url)) == (0, b'')

    def test_deleted_data_is_gone(self, store: base.Store) -> None:
        stored = put(store, 'image', 'one', DATA)
        store.delete(stored.url)
        for call in (store.open_reader, store.size, store.delete):
            with pytest.raises(exceptions.StoreDataNotFound):
                call(stored.url)

    def test_an_aborted_write_leaves_nothing_in_the_way(self, store: base.Store) -> None:
        writer = store.open_writer('image', 'one')
        writer.write(memoryview(DATA))
        writer.abort()
        assert read(store, put(store, 'image', 'one', b'again').url) == b'again'

    def test_an_attempt_may_be_repeated(self, store: base.Store) -> None:
        put(store, 'image', 'one', DATA)
        assert read(store, put(store, 'image', 'one', b'again').url) == b'again'

    def test_a_write_that_was_cut_short_does_not_stop_the_next(self, store: base.Store) -> None:
        store.open_writer('image', 'one').write(memoryview(DATA))
        assert read(store, put(store, 'image', 'one', b'again').url) == b'again'

    def test_attempts_do_not_touch_each_other(self, store: base.Store) -> None:
        first, second = put(store, 'image', 'one', b'1'), put(store, 'image', 'two', b'2')
        assert first.url != second.url
        store.delete(first.url)
        assert read(store, second.url) == b'2'

    def test_attempts_can_be_discarded_all_but_one(self, store: base.Store) -> None:
        urls = [put(store, 'image', attempt, DATA).url for attempt in ('one', 'two', 'three')]
        other = put(store, 'image-2', 'one', b'other').url
        store.open_writer('image', 'four').write(memoryview(DATA))
        store.discard_attempts('image', keep=urls[1])
        assert [has(store, url) for url in urls] == [False, True, False]
        store.discard_attempts('image')
        store.discard_attempts('image')
        assert not has(store, urls[1]) and read(store, other) == b'other'

    def test_what_is_stored_while_discarding_is_confirmed_stays(self, store: base.Store) -> None:
        old = put(store, 'image', 'one', DATA).url
        new: list[str] = []
        store.discard_attempts(
            'image', confirm=lambda: new.append(put(store, 'image', 'two', b'new').url)
        )
        assert not has(store, old) and read(store, new[0]) == b'new'

    def test_nothing_is_discarded_that_is_not_confirmed(self, store: base.Store) -> None:
        url = put(store, 'image', 'one', DATA).url

        def refuse() -> None:
            raise exceptions.ImportCancelled('no longer')

        with pytest.raises(exceptions.ImportCancelled):
            store.discard_attempts('image', confirm=refuse)
        assert has(store, url)

    def test_data_is_listed_with_its_image_its_size_and_its_age(self, store: base.Store) -> None:
        urls = {put(store, image, 'one', DATA).url: image for image in ('image', 'image-2')}
        listed = store.list_data()
        if listed is None:
            pytest.skip('the store cannot list')
        found = list(listed)
        assert {data.url: data.image_id for data in found} == urls
        assert all(data.size == len(DATA) and 0 <= data.age_seconds < 60 for data in found)

    def test_data_is_listed_by_image_and_can_be_deleted_as_listed(self, store: base.Store) -> None:
        other = put(store, 'image-2', 'one', b'other').url
        kept = put(store, 'image', 'one', DATA).url
        store.open_writer('image', 'two').write(memoryview(DATA))  # cut short
        listed = store.list_data('image')
        if listed is None:
            pytest.skip('the store cannot list')
        found = {data.url for data in listed}
        assert kept in found and other not in found
        for url in found:
            store.delete(url)
        assert list(store.list_data('image') or ()) == []
        assert [data.url for data in store.list_data() or ()] == [other]

    def test_a_file_is_stored_with_its_progress(self, store: base.Store, tmp_path: Path) -> None:
        source = tmp_path / 'source'
        source.write_bytes(DATA)
        counts: list[int] = []
        stored = store.put_file(str(source), 'image', 'one', counts.append)
        assert stored.size == sum(counts) == len(DATA)
        assert read(store, stored.url) == source.read_bytes() == DATA
        source.unlink()
        assert read(store, stored.url) == DATA

    def test_storing_a_file_can_be_stopped(self, store: base.Store, tmp_path: Path) -> None:
        source = tmp_path / 'source'
        source.write_bytes(DATA)

        def stop(count: int) -> None:
            raise exceptions.ImportCancelled('stopped')

        with pytest.raises(exceptions.ImportCancelled):
            store.put_file(str(source), 'image', 'one', stop)
        assert source.read_bytes() == DATA
        store.discard_attempts('image')
        stored = store.put_file(str(source), 'image', 'one', lambda count: None)
        assert read(store, stored.url) == DATA

    def test_what_cannot_fit_is_refused_before_a_byte_is_sent(self, store: base.Store) -> None:
        if not self.knows_space:
            pytest.skip('the store does not know its space')
        with pytest.raises(exceptions.StoreFull):
            store.open_writer('image', 'one', size=1 << 60)

    def test_many_write_and_read_at_once(self, store: base.Store) -> None:
        found: dict[int, bytes] = {}

        def work(number: int) -> None:
            data = bytes([number]) * 100_000
            found[number] = read(store, put(store, f'image-{number}', 'one', data).url)

        run_at_once(work, 8)
        assert found == {number: bytes([number]) * 100_000 for number in range(8)}


def put(store: base.Store, image_id: str, attempt: str, data: bytes) -> base.Stored:
    """Store bytes in two pieces."""
    writer = store.open_writer(image_id, attempt, len(data))
    for piece in (data[: len(data) // 2], data[len(data) // 2 :]):
        writer.write(memoryview(piece))
    return writer.commit()


def read(store: base.Store, url: str) -> bytes:
    """Read all bytes under a URL."""
    return drain(store.open_reader(url))


def drain(reader: base.StoreReader) -> bytes:
    """Read what is left of a reader, and close it twice."""
    data, buffer = bytearray(), bytearray(65_537)
    while count := reader.readinto(buffer):
        data += memoryview(buffer)[:count]
    reader.close()
    reader.close()
    return bytes(data)


def has(store: base.Store, url: str) -> bool:
    """Tell whether there is data under a URL."""
    try:
        store.size(url)
    except exceptions.StoreDataNotFound:
        return False
    return True


def run_at_once(work: Callable[[int], None], count: int) -> None:
    """Call ``work`` with 0, 1, … in as many threads, and wait for them."""
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
