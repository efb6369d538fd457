# SPDX-License-Identifier: Apache-2.0
"""Tasks that make their image: it appears whole or not at all, however they end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from taskflow import task

from glance_lite import exceptions
from glance_lite.db import image_list, images, models, ownership, removals, tasks
from glance_lite.domain import image as domain
from glance_lite.domain import image_query
from glance_lite.image_import.steps.activate_image import ActivateImage
from glance_lite.plugin.loader import PluginSet
from tests.engine import Engine
from tests.functional.sources import Source, source

CLEAN = {'jobs': 0, 'flows': 0, 'fast': [], 'cold': [], 'staging': []}
OPTIONS = (
    '[import_filtering_opts]\npermitted_networks = 127.0.0.0/8\nallowed_ports =\n'
    '[web_download]\nretries = 0\n'
)


class World(Engine):
    """An engine that is asked for tasks, and a source."""

    origin: Source

    def post_task(self, path: str = '/disk', disk_format: str = 'raw', **properties: Any) -> str:
        """Ask for an image of what the source has at ``path``; return the task's id."""
        uri = path if '://' in path else self.origin.url + path
        return super().post_task(uri, disk_format, **properties)

    def listed(self) -> list[domain.Image]:
        """Return what an administrator finds in the list of images."""
        query = image_query.parse([('visibility', 'all')], 100, 100)
        with self.db.reader() as session:
            return image_list.list_page(session, query, 'p1', True)[0]


@pytest.fixture
def make_world(make_conf: Callable[..., Any]):
    """Return a function that makes a world with plugins and options."""
    made: list[World] = []
    with source(bytes(range(256)) * 1000) as origin:

        def make(extra: str = '', **plugins: Any) -> World:
            world = World(make_conf(OPTIONS + extra), PluginSet(plugins) if plugins else None)
            world.origin = origin
            made.append(world)
            return world

        yield make
        for world in made:
            world.db.dispose()


def of_field(execute: Callable[..., Any], provides: str | None = None) -> Callable[..., Any]:
    """Return a ``get_flow`` of the field whose task calls ``execute(**arguments of get_flow)``."""

    def get_flow(**arguments: Any) -> task.Task:
        class Plugin(task.Task):
            default_provides = provides or ()

            def execute(self) -> Any:
                return execute(**arguments)

        return Plugin()

    return get_flow


def test_the_image_appears_at_the_end_with_all_that_was_asked_for(make_world: Any) -> None:
    seen = []
    world = make_world(look=of_field(lambda **_: seen.append(world.listed())))
    task_id = world.post_task(
        name='GreatStack 1.22', tags=['lamp', 'custom'], min_disk=3, visibility='private'
    )
    planned = world.task(task_id).image_id
    with pytest.raises(exceptions.ImageNotFound):
        world.image(planned)
    assert world.conductor().run_pending() == 1
    assert seen == [[]]
    record = world.task(task_id)
    assert (record.status, record.result) == (
        'success',
        {'image_id': planned, 'image_uuid': planned},
    )
    [image] = world.listed()
    data = world.origin.data
    assert (image.status, image.name, image.tags) == (
        'active',
        'GreatStack 1.22',
        ['custom', 'lamp'],
    )
    assert (image.min_disk, image.visibility, image.owner) == (3, 'private', 'p1')
    assert (image.disk_format, image.container_format) == ('raw', 'bare')
    assert image.os_hash_value == hashlib.sha512(data).hexdigest()
    assert image.size == len(data) and image.import_task_id is None and image.properties == {}
    assert world.leftovers()['staging'] == [] and world.leftovers()['jobs'] == 0
    with world.db.reader() as session:
        assert tasks.list_for_image(session, image.image_id)[0].task_id == task_id


def test_plugins_of_both_generations_change_what_is_to_be(make_world: Any) -> None:
    def older(image_repo: Any, image_id: str, import_req: Any, task_type: str, **_: Any) -> None:
        assert task_type == 'import' and import_req['method']['name'] == 'web-download'
        image = image_repo.get(image_id)
        assert (image.status, image.name) == ('importing', 'mine')
        image.extra_properties['from_older'] = 'yes'
        image.extra_properties.pop('unwanted')
        image.tags.add('added')
        image_repo.save(image)

    def newer(action_wrapper: Any, **_: Any) -> None:
        action_wrapper.assert_task_lock()
        with action_wrapper as action:
            assert action.image_extra_properties['from_older'] == 'yes'
            action.set_image_extra_properties({'from_newer': 'yes', 'os_glance_x': 'no'})
            action.set_image_attribute(container_format='ovf', status='active')

    world = make_world(older=of_field(older), newer=of_field(newer))
    world.post_task(name='mine', properties={'unwanted': '1', 'kept': '1'}, tags=['t'])
    world.conductor().run_pending()
    [image] = world.listed()
    assert image.properties == {'kept': '1', 'from_older': 'yes', 'from_newer': 'yes'}
    assert (image.container_format, image.tags) == ('ovf', ['added', 't'])


@pytest.mark.parametrize(
    ('path', 'disk_format', 'code'),
    [
        ('/missing', 'raw', 'source_http_error'),
        ('/short', 'raw', 'source_truncated'),
        ('/disk', 'qcow2', 'format_mismatch'),
    ],
)
def test_a_failure_leaves_the_task_and_nothing_else(
    make_world: Any, path: str, disk_format: str, code: str
) -> None:
    world = make_world()
    task_id = world.post_task(path, disk_format, name='x')
    world.conductor().run_pending()
    record = world.task(task_id)
    assert (record.status, record.error['code'], record.result) == ('failure', code, None)
    assert world.origin.url + path in record.message and record.draft is None
    assert record.expires_at is not None
    assert world.listed() == [] and world.leftovers() == CLEAN
    with world.db.reader() as session:
        assert not images.is_taken(session, record.image_id)


def test_a_plugin_that_refuses_leaves_nothing(make_world: Any) -> None:
    def refuse(**_: Any) -> None:
        raise exceptions.ImageRejected('it has a virus')

    world = make_world(scan=of_field(refuse))
    task_id = world.post_task(name='x')
    world.conductor().run_pending()
    record = world.task(task_id)
    assert record.error['code'] == 'plugin_rejected'
    assert "plugin 'scan' refused the image: it has a virus" in record.message
    assert world.listed() == [] and world.leftovers() == CLEAN


def test_rights_and_quotas_are_asked_again_at_both_ends(make_world: Any, tmp_path: Path) -> None:
    world = make_world()
    task_id = world.post_task(visibility='community')
    (tmp_path / 'policy.yaml').write_text('"communitize_image": "role:admin"')
    world.services.policy = type(world.services.policy).from_conf(world.services.conf)
    world.conductor().run_pending()
    record = world.task(task_id)
    assert (record.error['code'], record.error['phase']) == ('not_permitted', 'confirm-claim')
    assert 'communitize_image' in record.message

    def lower(**_: Any) -> None:
        world.services.conf.set_override('image_tag_quota', 1)

    world = make_world(lower=of_field(lower))
    task_id = world.post_task(tags=['a', 'b'])
    world.conductor().run_pending()
    record = world.task(task_id)
    assert (record.error['code'], record.error['phase']) == ('quota_exceeded', 'activate-image')
    assert world.listed() == [] and world.leftovers() == CLEAN


def test_what_the_operator_injects_counts_against_no_quota(make_world: Any) -> None:
    def inject(action_wrapper: Any, **_: Any) -> None:
        with action_wrapper as action:
            action.set_image_extra_properties({'a': '1', 'b': '2'})

    world = make_world('[DEFAULT]\nimage_property_quota = 1\n', inject=of_field(inject))
    task_id = world.post_task(properties={'mine': '1'})
    world.conductor().run_pending()
    assert world.task(task_id).status == 'success'
    assert len(world.listed()[0].properties) == 3


def test_a_conductor_that_dies_after_the_image_appeared(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    task_id = world.post_task()
    _die(world, monkeypatch, after=ActivateImage.execute)
    assert [image.status for image in world.listed()] == ['active']
    assert world.task(task_id).status == 'processing'
    assert world.conductor().run_pending() == 1
    record = world.task(task_id)
    assert (record.status, record.attempts) == ('success', 2)
    [image] = world.listed()
    assert image.import_task_id is None and world.leftovers()['staging'] == []


def test_an_image_deleted_before_its_task_was_told_is_not_made_again(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    task_id = world.post_task()
    _die(world, monkeypatch, after=ActivateImage.execute)
    [image] = world.listed()
    with world.db.writer() as session:
        removals.note(session, image.image_id, image.locations, in_seconds=0)
        images.delete(session, image.image_id, [domain.ACTIVE])
    world.conductor().run_pending()
    record = world.task(task_id)
    assert record.error['code'] == 'cancelled' and 'was deleted' in record.message
    assert world.listed() == [] and world.leftovers()['fast'] == []


def test_a_conductor_that_dies_in_the_middle(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    task_id = world.post_task(name='x')
    _die(world, monkeypatch)
    assert world.listed() == []
    world.conductor().run_pending()
    assert world.task(task_id).status == 'success' and len(world.listed()) == 1
    assert len(world.leftovers()['fast']) == 1 and world.leftovers()['staging'] == []


def test_a_task_is_cancelled_in_the_middle(make_world: Any) -> None:
    seen = []

    def cancel_and_go_on(task_id: str, action_wrapper: Any, **_: Any) -> None:
        seen.append(world.leftovers()['staging'])
        _cancel(world, task_id)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            action_wrapper.assert_task_lock()  # as long plugins do now and then
            time.sleep(0.01)

    world = make_world(
        long=of_field(cancel_and_go_on), after=of_field(lambda **_: seen.append('after'))
    )
    task_id = world.post_task(name='x')
    world.conductor().run_pending()
    record = world.task(task_id)
    assert (record.status, record.error['code']) == ('failure', 'cancelled')
    assert (record.error['phase'], record.result) == ('run-plugin:long', None)
    [staged] = seen  # there was data, and no plugin came after
    assert len(staged) == 1
    assert world.listed() == [] and world.leftovers() == CLEAN


def test_a_task_is_cancelled_before_it_begins(make_world: Any) -> None:
    world = make_world()
    task_id = world.post_task()
    _cancel(world, task_id)
    world.conductor().close_waiting()
    record = world.task(task_id)
    assert (record.status, record.error['code']) == ('failure', 'cancelled')
    assert world.listed() == [] and world.leftovers() == CLEAN


def test_what_a_failed_task_left_is_known_for_litter(make_world: Any) -> None:
    world = make_world()
    task_id = world.post_task('/missing')
    image_id = world.task(task_id).image_id
    with world.db.reader() as session:
        assert ownership.of(session, image_id).busy
    world.conductor().run_pending()
    with world.db.reader() as session:
        owner = ownership.of(session, image_id)
    assert (owner.busy, owner.status) == (False, domain.DELETED)


def test_an_object_of_swift_is_read_over_http(make_world: Any) -> None:
    world = make_world('[task]\nswift_scheme = http\nswift_path = disk?\n')
    host = world.origin.url.removeprefix('http://')
    task_id = world.post_task(f'swift://{host}/account/container/a/b')
    world.conductor().run_pending()
    record = world.task(task_id)
    assert record.status == 'failure'
    assert record.message.startswith(f'The source swift://{host}/account/container/a/b sent less')
    assert record.plan['source'] == f'swift://{host}/account/container/a/b'


def _cancel(world: World, task_id: str) -> None:
    with world.db.writer() as session:
        tasks.request_cancel(session, task_id)


class Died(BaseException):
    """The conductor is gone."""


def _die(world: World, monkeypatch: pytest.MonkeyPatch, after: Any = None) -> None:
    """Run the next import until its conductor dies before, or ``after``, publishing the image."""

    def die(self: ActivateImage, image_facts: dict[str, Any], **copies: Any) -> None:
        if after is not None:
            after(self, image_facts, **copies)
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(ActivateImage, 'execute', die)
        world.conductor().run_pending()
    with world.db.writer() as session:
        session.execute(models.jobs.update().values(expires_ms=1))
