# SPDX-License-Identifier: Apache-2.0
"""The staging area: its id, its files, and whose they are."""

import os

import pytest

from glance_lite import exceptions
from glance_lite.stores.staging import StagedFile, StagingArea


@pytest.fixture
def area(tmp_path):
    return StagingArea(str(tmp_path / 'staging'))


def make(area, name, size=0):
    fd = area.create(name)
    os.write(fd, bytes(size))
    os.close(fd)


def test_the_id_is_made_once_and_nothing_else_is_left(area):
    again = StagingArea(area.directory)
    assert again.area_id == area.area_id
    assert os.listdir(area.directory) == ['.area-id']


def test_a_spoilt_id_stops_the_start(area, tmp_path):
    (tmp_path / 'staging/.area-id').write_text('no id')
    with pytest.raises(exceptions.ConfigError, match='does not hold an id'):
        StagingArea(area.directory)


def test_files_are_found_with_size_and_age_and_image(area):
    make(area, 'image.one', 5)
    (found,) = area.look()
    assert (found.name, found.image_id, found.size) == ('image.one', 'image', 5)
    assert 0 <= found.age_seconds < 60


def test_the_age_counts_by_the_clock_of_the_file_system(area):
    make(area, 'image.one')
    os.utime(area.path('image.one'), (1, 1))  # what a program may set is not looked at
    (found,) = area.look()
    assert found.age_seconds < 60


def test_all_files_of_an_image_are_removed_and_no_other(area):
    for name in ('image.one', 'image.one.lent', 'image.two', 'image-2.one'):
        make(area, name)
    os.makedirs(os.path.join(area.directory, 'image.work', 'inner'))
    area.remove_all('image')
    assert area.list_files() == ['image-2.one']


def test_a_file_made_while_removing_is_confirmed_stays(area):
    make(area, 'image.one')
    area.remove_all('image', confirm=lambda: make(area, 'image.two'))
    assert area.list_files() == ['image.two']


def test_nothing_is_removed_that_is_not_confirmed(area):
    make(area, 'image.one')

    def refuse():
        raise exceptions.ImportCancelled('no longer')

    with pytest.raises(exceptions.ImportCancelled):
        area.remove_all('image', confirm=refuse)
    assert area.list_files() == ['image.one']


def test_a_staged_file_is_named_after_its_image():
    assert StagedFile('a-b.c.d', 0, 0).image_id == 'a-b'
