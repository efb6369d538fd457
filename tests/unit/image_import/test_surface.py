# SPDX-License-Identifier: Apache-2.0
"""What plugins of the field read and write: what is kept, what is dropped, what is fenced."""

import threading

import pytest

from glance_lite import exceptions
from glance_lite.db import images, schema, tasks
from glance_lite.db.engine import Database
from glance_lite.domain import image as domain
from glance_lite.domain.task import Task
from glance_lite.image_import import surface

IMAGE, OTHER, TASK = 'i' * 36, 'o' * 36, 't' * 36


class World:
    """A database with an image held by an import, and one of another project."""

    def __init__(self, conf):
        self.db = Database.from_conf(conf)
        schema.sync(self.db)
        self.task = Task(TASK, IMAGE, 'p', caller={'project_id': 'p', 'roles': ['member']})
        self.lost = False
        with self.db.writer() as session:
            images.insert(
                session,
                domain.Image(
                    IMAGE,
                    name='mine',
                    owner='p',
                    status='importing',
                    import_task_id=TASK,
                    disk_format='qcow2',
                    container_format='bare',
                    size=10,
                    tags=['t'],
                    properties={'kind': 'user', 'os_glance_importing_to_stores': 'a,b'},
                ),
            )
            images.insert(session, domain.Image(OTHER, owner='q', visibility='private'))
            tasks.insert(session, self.task)
        self.repo = surface.ImageRepo(self.db, self.task, self.guard)
        self.wrapper = surface.ActionWrapper(self.db, self.task, self.guard)

    def guard(self, session):
        if self.lost:
            raise exceptions.LeaseLost('another conductor has it')

    def image(self, image_id=IMAGE):
        with self.db.reader() as session:
            return images.get(session, image_id)

    def change(self, **values):
        with self.db.writer() as session:
            images.update(session, IMAGE, **values)


@pytest.fixture
def world(conf):
    world = World(conf)
    yield world
    world.db.dispose()


def test_the_repository_gives_an_image_with_the_names_of_the_field(world):
    image = world.repo.get(IMAGE)
    assert (image.image_id, image.name, image.status, image.owner) == (
        IMAGE,
        'mine',
        'importing',
        'p',
    )
    assert (image.size, image.virtual_size, image.min_disk, image.min_ram) == (10, None, 0, 0)
    assert (image.disk_format, image.container_format) == ('qcow2', 'bare')
    assert image.tags == {'t'} and image.locations == []
    assert image.extra_properties == {
        'kind': 'user',
        'os_glance_importing_to_stores': 'a,b',
        'os_glance_import_task': TASK,
    }


def test_a_save_writes_what_a_plugin_decides(world):
    image = world.repo.get(IMAGE)
    image.extra_properties.update({'kind': 'operator', 'count': 3})
    image.disk_format, image.container_format = 'raw', 'ovf'
    image.size, image.virtual_size = 20, 30
    image.min_disk, image.min_ram, image.name = 1, 2, 'named'
    image.tags = {'x', 'y'}
    world.repo.save(image, 'importing')
    saved = world.image()
    assert (saved.disk_format, saved.container_format) == ('raw', 'ovf')
    assert (saved.size, saved.virtual_size, saved.min_disk, saved.min_ram) == (20, 30, 1, 2)
    assert (saved.name, saved.tags) == ('named', ['x', 'y'])
    assert saved.properties == {
        'kind': 'operator',
        'count': '3',
        'os_glance_importing_to_stores': 'a,b',
    }


def test_a_property_taken_out_is_removed(world):
    image = world.repo.get(IMAGE)
    del image.extra_properties['kind']
    world.repo.save(image)
    assert 'kind' not in world.image().properties


def test_what_a_plugin_may_not_decide_is_dropped_with_a_line_in_the_log(world, caplog):
    image = world.repo.get(IMAGE)
    image.status, image.checksum, image.owner, image.visibility = 'active', 'c', 'q', 'public'
    image.locations.append({'url': 'file:///etc/passwd', 'metadata': {}})
    image.extra_properties['os_glance_import_task'] = 'another'
    del image.extra_properties['os_glance_importing_to_stores']
    world.repo.save(image)
    saved = world.image()
    assert (saved.status, saved.checksum, saved.owner) == ('importing', None, 'p')
    assert (saved.visibility, saved.locations, saved.import_task_id) == ('shared', [], TASK)
    assert saved.properties['os_glance_importing_to_stores'] == 'a,b'
    for name in ('status', 'checksum', 'locations', 'os_glance_import_task'):
        assert f'may not set {name};' in caplog.text


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('size', -1),
        ('size', '12'),
        ('virtual_size', True),
        ('virtual_size', 1 << 63),
        ('disk_format', 'f' * 21),
        ('disk_format', 5),
        ('min_disk', None),
        ('min_ram', 1 << 31),
        ('name', 'n' * 256),
    ],
)
def test_an_impossible_value_is_refused_by_name(world, name, value):
    image = world.repo.get(IMAGE)
    setattr(image, name, value)
    with pytest.raises(ValueError, match=name):
        world.repo.save(image)


@pytest.mark.parametrize('name', ['', 'n' * 256, 5, 'disk_format', 'locations'])
def test_an_impossible_property_name_is_refused(world, name):
    image = world.repo.get(IMAGE)
    image.extra_properties[name] = 'x'
    with pytest.raises(ValueError):
        world.repo.save(image)


def test_other_images_are_seen_as_the_user_sees_them_and_never_saved(world):
    with pytest.raises(exceptions.ImageNotFound):
        world.repo.get(OTHER)
    world.task.caller = {'project_id': 'q'}
    image = world.repo.get(OTHER)
    image.name = 'taken'
    with pytest.raises(exceptions.Forbidden):
        world.repo.save(image)


def test_nothing_is_written_once_another_conductor_has_the_import(world):
    image = world.repo.get(IMAGE)
    image.name = 'late'
    world.lost = True
    with pytest.raises(exceptions.LeaseLost):
        world.repo.save(image)
    with pytest.raises(exceptions.LeaseLost), world.wrapper as action:
        action.set_image_extra_properties({'late': '1'})
    assert world.image().name == 'mine' and 'late' not in world.image().properties


@pytest.mark.parametrize('values', [{'import_task_id': 'other'}, {'status': 'queued'}])
def test_nothing_is_written_once_the_import_lost_the_image(world, values):
    image = world.repo.get(IMAGE)
    image.name = 'late'
    world.change(**values)
    with pytest.raises(exceptions.ImportCancelled):
        world.repo.save(image)
    assert world.image().name == 'mine'


def test_a_block_saves_once_at_its_end(world):
    with world.wrapper as action:
        action.set_image_attribute(disk_format='raw', size=1)
        action.set_image_attribute(virtual_size=2, container_format=None)
        action.set_image_extra_properties({'a': '1'})
        assert action.pop_extra_property('kind') == 'user'
        assert action.pop_extra_property('nothing') is None
        assert world.image().disk_format == 'qcow2'
    saved = world.image()
    assert (saved.disk_format, saved.container_format) == ('raw', None)
    assert (saved.size, saved.virtual_size) == (1, 2)
    assert saved.properties == {'a': '1', 'os_glance_importing_to_stores': 'a,b'}


def test_a_block_that_raises_saves_nothing(world):
    with pytest.raises(KeyError), world.wrapper as action:
        action.set_image_attribute(disk_format='raw')
        raise KeyError
    assert world.image().disk_format == 'qcow2'
    with world.wrapper as action:
        assert action.image_disk_format == 'qcow2'


def test_an_action_tells_what_the_field_reads(world):
    with world.wrapper as action:
        assert world.wrapper.image_id == action.image_id == IMAGE
        assert (action.image_size, action.image_status) == (10, 'importing')
        assert (action.image_disk_format, action.image_container_format) == ('qcow2', 'bare')
        assert action.image_locations == []
        properties = action.image_extra_properties
        properties['kind'] = 'changed in a copy'
    assert world.image().properties['kind'] == 'user'


def test_an_attribute_beyond_the_five_is_refused(world):
    with world.wrapper as action:
        with pytest.raises(AttributeError, match='name'):
            action.set_image_attribute(disk_format='raw', name='no')
        assert action.image_disk_format == 'qcow2'


@pytest.mark.parametrize('status', ['active', 'queued', 'killed', 'deleted'])
def test_a_status_is_ignored_with_a_line_in_the_log(world, caplog, status):
    with caplog.at_level('INFO'), world.wrapper as action:
        action.set_image_attribute(status=status)
    assert world.image().status == 'importing'
    assert f"a plugin's status '{status}' is ignored" in caplog.text


def test_service_properties_are_dropped_with_a_line_in_the_log(world, caplog):
    with world.wrapper as action:
        action.set_image_extra_properties({'os_glance_x': '1', 'os_glancey': '2', 'fine': '3'})
        assert action.pop_extra_property('os_glance_importing_to_stores') is None
    assert world.image().properties == {
        'kind': 'user',
        'fine': '3',
        'os_glance_importing_to_stores': 'a,b',
    }
    assert 'may not set os_glance_x;' in caplog.text


def test_the_store_lists_are_merged(world):
    with world.wrapper as action:
        action.remove_importing_stores(['a', 'unknown'])
        action.add_importing_stores(['c', None])
        action.add_failed_stores(['a', 'b'])
        action.remove_failed_stores(['b'])
    properties = world.image().properties
    assert properties['os_glance_importing_to_stores'] == 'b,c'
    assert properties['os_glance_failed_import'] == 'a'


def test_data_cannot_be_put_past_the_other_plugins(world):
    with pytest.raises(exceptions.ImportFailed, match='file_path'), world.wrapper as action:
        action.set_image_data('file:///x', TASK, 'a', set_active=True)
    with world.wrapper as action:
        action.remove_location_for_store('a')


def test_the_lock_is_told_and_kept(world):
    world.wrapper.assert_task_lock()
    world.wrapper.drop_lock_for_task()
    assert world.image().import_task_id == TASK
    world.change(import_task_id='other')
    for call in (
        world.wrapper.assert_task_lock,
        world.wrapper.drop_lock_for_task,
        world.wrapper.__enter__,
    ):
        with pytest.raises(exceptions.ImportCancelled):
            call()


def test_progress_goes_where_the_engine_said(world):
    counts = []
    wrapper = surface.ActionWrapper(world.db, world.task, world.guard, counts.append)
    wrapper.advance(5)
    world.wrapper.advance(5)
    assert counts == [5]


def test_tasks_are_read_and_never_written(world):
    repo = surface.TaskRepo(world.db)
    task = repo.get(TASK)
    assert (task.task_id, task.status, task.message) == (TASK, 'pending', '')
    task.message = 'from a plugin'
    repo.save(task)
    assert repo.get(TASK).message == ''


def test_no_further_images_can_be_made():
    with pytest.raises(exceptions.Forbidden):
        surface.ImageFactory().new_image(name='another')


def test_saves_of_two_threads_both_arrive(world):
    def save(name):
        image = world.repo.get(IMAGE)
        image.extra_properties[name] = '1'
        world.repo.save(image)

    threads = [threading.Thread(target=save, args=(f'p{number}',)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f'p{number}' for number in range(4)} <= set(world.image().properties)
