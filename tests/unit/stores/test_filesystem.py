# SPDX-License-Identifier: Apache-2.0
"""The file store keeps the contract of stores, links what it can, and stays in its directory."""

import os
import stat

import pytest

from glance_lite import exceptions
from glance_lite.stores.filesystem import FileStore
from glance_lite.testing.stores import StoreContract, put


class TestFileStore(StoreContract):
    store_class = FileStore

    def options(self, directory):
        return {'filesystem_store_datadir': str(directory / 'images')}

    def test_a_file_on_the_same_file_system_is_linked(self, store, tmp_path):
        source = tmp_path / 'source'
        source.write_bytes(b'data')
        store.put_file(str(source), 'image', 'one', lambda count: None)
        assert os.path.samefile(source, tmp_path / 'images' / 'image.one')

    def test_the_directory_and_its_files_are_private(self, store, tmp_path):
        put(store, 'image', 'one', b'data')
        for path, mode in ((tmp_path / 'images', 0o700), (tmp_path / 'images/image.one', 0o600)):
            assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_nothing_of_an_aborted_or_stopped_write_is_left(self, store, tmp_path):
        writer = store.open_writer('image', 'one')
        writer.write(memoryview(b'data'))
        writer.abort()
        store.open_writer('image', 'two').write(memoryview(b'data'))
        assert os.listdir(tmp_path / 'images') == ['image.two.part']
        store.discard_attempts('image')
        assert os.listdir(tmp_path / 'images') == []

    def test_what_it_did_not_name_is_listed_as_nobodys(self, store, tmp_path):
        put(store, 'image', 'one', b'data')
        store.open_writer('image', 'two').write(memoryview(b'part'))
        directory = tmp_path / 'images'
        (directory / 'README').write_bytes(b'12345')
        (directory / 'a.b.c.d').write_bytes(b'')
        (directory / 'sub.directory').mkdir()
        (directory / 'link.one').symlink_to(directory / 'README')
        found = {
            os.path.basename(data.url): (data.image_id, data.size) for data in store.list_data()
        }
        assert found == {
            'image.one': ('image', 4),
            'image.two.part': ('image', 4),
            'README': (None, 5),
            'a.b.c.d': (None, 0),
        }

    def test_data_is_not_gone_when_the_directory_is(self, store, tmp_path):
        url = put(store, 'image', 'one', b'data').url
        (tmp_path / 'images').rename(tmp_path / 'away')
        for call in (store.delete, store.open_writer):
            with pytest.raises(exceptions.StoreError) as caught:
                call(url) if call == store.delete else call('image', 'two', 10)
            assert not isinstance(caught.value, exceptions.StoreDataNotFound)
        with pytest.raises(exceptions.StoreError):
            list(store.list_data())
        (tmp_path / 'away').rename(tmp_path / 'images')
        store.delete(url)

    def test_a_commit_that_fails_leaves_nothing(self, store, tmp_path):
        writer = store.open_writer('image', 'one')
        writer.write(memoryview(b'data'))
        (tmp_path / 'images/image.one').mkdir()  # in the way of the name
        with pytest.raises(exceptions.StoreError):
            writer.commit()
        assert os.listdir(tmp_path / 'images') == ['image.one']

    @pytest.mark.parametrize('name', ['../outside', 'sub/../../outside', '%2e%2e/outside'])
    def test_a_url_never_leads_out_of_the_directory(self, store, tmp_path, name):
        (tmp_path / 'outside').write_bytes(b'secret')
        url = f'file://{tmp_path}/images/{name}'
        for call in (store.open_reader, store.size, store.delete):
            with pytest.raises(exceptions.StoreDataNotFound):
                call(url)
        assert (tmp_path / 'outside').read_bytes() == b'secret'

    def test_a_link_in_the_directory_is_not_followed_out_of_it(self, store, tmp_path):
        (tmp_path / 'outside').write_bytes(b'secret')
        os.symlink(tmp_path / 'outside', tmp_path / 'images' / 'image.one.part')
        assert put(store, 'image', 'one', b'data').size == 4
        assert (tmp_path / 'outside').read_bytes() == b'secret'


class TestFileStoreWithFileMode(StoreContract):
    store_class = FileStore

    def options(self, directory):
        return {
            'filesystem_store_datadir': str(directory / 'images'),
            'filesystem_store_file_perm': 0o640,
        }

    def test_files_get_the_mode_of_the_option(self, store, tmp_path):
        put(store, 'image', 'one', b'data')
        assert stat.S_IMODE((tmp_path / 'images/image.one').stat().st_mode) == 0o640
