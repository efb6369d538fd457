# SPDX-License-Identifier: Apache-2.0
"""What the import plugins of the field work with: repositories, the image, the action wrapper.

Plugins of two generations are served: the older read and save the image through ``image_repo``, the
newer through ``action_wrapper``. Both write with the service's rights, in one fenced transaction a
save, and only what a plugin may decide: never the status, the hashes, the places of the data or the
service's own properties. Finding and building plugins is ``plugin/``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from oslo_log import log

from glance_lite import exceptions
from glance_lite.context import RequestContext
from glance_lite.db import images, members, tasks
from glance_lite.db.engine import Database, Session
from glance_lite.domain import image as domain
from glance_lite.domain.task import Task
from glance_lite.image_import import plugin_values, subject

LOG = log.getLogger(__name__)

#: What :meth:`ImportAction.set_image_attribute` takes.
SETTABLE = ('status', 'disk_format', 'container_format', 'virtual_size', 'size')


class PluginImage:
    """An image as plugins see it: plain attributes to read and set, kept by ``image_repo.save``.

    Sizes are bytes. ``extra_properties`` is a dict of strings, ``tags`` a set, ``locations`` a list
    of ``{'url', 'metadata', 'status'}`` with the store's id under ``metadata['store']``.
    """

    def __init__(self, image: domain.Image) -> None:
        self.image_id = image.image_id
        self.name = image.name
        self.status = image.status
        self.visibility = image.visibility
        self.owner = image.owner
        self.protected = image.protected
        self.os_hidden = image.os_hidden
        self.checksum = image.checksum
        self.os_hash_algo = image.os_hash_algo
        self.os_hash_value = image.os_hash_value
        self.size = image.size
        self.virtual_size = image.virtual_size
        self.disk_format = image.disk_format
        self.container_format = image.container_format
        self.min_disk = image.min_disk
        self.min_ram = image.min_ram
        self.created_at = image.created_at
        self.updated_at = image.updated_at
        self.tags = set(image.tags)
        self.extra_properties: dict[str, str] = dict(image.properties)
        if image.import_task_id is not None:
            self.extra_properties[domain.IMPORT_TASK] = image.import_task_id
        self.locations: list[dict[str, Any]] = [
            {
                'url': location.url,
                'metadata': {**location.metadata, 'store': location.store},
                'status': 'active',
            }
            for location in image.locations
        ]
        self._loaded = copy.deepcopy(vars(self))

    def changes(self) -> dict[str, Any]:
        """Return the attributes that differ from those loaded, by name."""
        return {
            name: value
            for name, value in vars(self).items()
            if name != '_loaded' and value != self._loaded.get(name)
        }

    def property_changes(self) -> dict[str, Any]:
        """Return the properties that were set, or None for those removed, by name."""
        before, after = self._loaded['extra_properties'], self.extra_properties
        changed = {name: value for name, value in after.items() if before.get(name) != value}
        return changed | {name: None for name in before if name not in after}


class ImageRepo:
    """Reads images, and saves the one that is being imported.

    :param guard: called first in every transaction that writes; raises ``LeaseLost`` when the
        import was taken over by another conductor.
    """

    def __init__(self, db: Database, task: Task, guard: Callable[[Session], None]) -> None:
        self._db = db
        self._task = task
        self._guard = guard
        self._subject = subject.of(task)

    def get(self, image_id: str) -> PluginImage:
        """Return an image.

        :raises ImageNotFound: there is none that the importing user can see.
        """
        caller = RequestContext.from_record(self._task.caller)
        with self._db.reader() as session:
            if image_id == self._task.image_id:
                return PluginImage(self._subject.read(session))
            image = images.get(session, image_id)
            if not members.can_see(session, image, caller.project_id, bool(caller.is_admin)):
                raise exceptions.ImageNotFound(image_id)
        return PluginImage(image)

    def save(self, image: PluginImage, from_state: str | None = None) -> None:
        """Write what was changed since :meth:`get` and may be; log and drop the rest.

        :param from_state: accepted for plugins that give it; the image must be ``importing``.
        :raises Forbidden: it is not the image of this import.
        :raises ImportCancelled: the import does not hold the image any more.
        :raises ValueError: a value is not possible; the message names it.
        """
        properties = image.property_changes()
        for name in list(properties):
            if str(name).startswith(domain.RESERVED_PREFIX):
                _log_dropped(image.image_id, name)
                del properties[name]
        self.write(image, properties)

    def write(self, image: PluginImage, properties: Mapping[str, Any]) -> None:
        """Write the changed attributes that plugins decide, and these properties."""
        if image.image_id != self._task.image_id:
            raise exceptions.Forbidden('An import plugin can only change the image imported.')
        changes = image.changes()
        changes.pop('extra_properties', None)
        tags = changes.pop('tags', None)
        columns = plugin_values.check_columns(
            {name: changes.pop(name) for name in plugin_values.COLUMNS if name in changes}
        )
        checked = plugin_values.check_properties(properties)
        tags = None if tags is None else plugin_values.check_tags(tags)
        for name in changes:
            _log_dropped(image.image_id, name)
        with self._db.writer() as session:
            self._guard(session)
            if not self._subject.write(session, columns, checked, tags):
                raise _not_held()


class ActionWrapper:
    """Context manager around changes of the image; one save at the end of the block.

    Nothing is saved when the block raises. Not to be shared by threads.

    :param advance: told bytes done by a plugin; raises when the import must stop.
    :param expect: told how many bytes that will be.
    """

    def __init__(
        self,
        db: Database,
        task: Task,
        guard: Callable[[Session], None],
        advance: Callable[[int], None] | None = None,
        expect: Callable[[int], None] | None = None,
    ) -> None:
        self._repo = ImageRepo(db, task, guard)
        self._task = task
        self._open: list[ImportAction] = []
        self.advance: Callable[[int], None] = advance or (lambda count: None)
        self.expect: Callable[[int], None] = expect or (lambda total: None)

    @property
    def image_id(self) -> str:
        """The id of the image being imported."""
        assert self._task.image_id is not None
        return self._task.image_id

    def __enter__(self) -> ImportAction:
        """Load the image.

        :raises ImportCancelled: the import does not hold it any more.
        """
        image = self._repo.get(self.image_id)
        self._require_held(image)
        action = ImportAction(image)
        self._open.append(action)
        return action

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        action = self._open.pop()
        if kind is None:
            self._repo.write(action.image, action.wanted_properties())

    def assert_task_lock(self) -> None:
        """Raise unless this import holds the image, and is to go on.

        :raises ImportCancelled: it does not, or was cancelled.
        """
        self.advance(0)
        self._require_held(self._repo.get(self.image_id))

    def drop_lock_for_task(self) -> None:
        """Leave the image held: the service lets go of it itself when the import ends.

        :raises ImportCancelled: this import does not hold it.
        """
        self.assert_task_lock()
        LOG.info('Image %s: a plugin wanted to drop the lock; it is kept', self.image_id)

    def _require_held(self, image: PluginImage) -> None:
        if image.extra_properties.get(domain.IMPORT_TASK) != self._task.task_id:
            raise _not_held()


class ImportAction:
    """What the block of an :class:`ActionWrapper` works with."""

    def __init__(self, image: PluginImage) -> None:
        self.image = image
        self._store_lists: dict[str, str] = {}

    @property
    def image_id(self) -> str:
        """The image's id."""
        return self.image.image_id

    @property
    def image_status(self) -> str:
        """The image's status."""
        return self.image.status

    @property
    def image_size(self) -> int | None:
        """Size of the data in bytes, None if unknown."""
        return self.image.size

    @property
    def image_locations(self) -> list[dict[str, Any]]:
        """A copy of the places of the data; an image that is being imported has none yet."""
        return copy.deepcopy(self.image.locations)

    @property
    def image_disk_format(self) -> str | None:
        """The image's disk format."""
        return self.image.disk_format

    @property
    def image_container_format(self) -> str | None:
        """The image's container format."""
        return self.image.container_format

    @property
    def image_extra_properties(self) -> dict[str, str]:
        """A copy of the custom properties and those of the service."""
        return dict(self.image.extra_properties)

    def set_image_attribute(self, **attributes: Any) -> None:
        """Set attributes out of :data:`SETTABLE`. The status is accepted, logged and left alone.

        :raises AttributeError: another attribute.
        """
        for name in attributes:
            if name not in SETTABLE:
                raise AttributeError(f'Setting {name} is not allowed; only {", ".join(SETTABLE)}.')
        for name, value in attributes.items():
            if name == 'status':
                LOG.info(
                    "Image %s: a plugin's status %r is ignored; the outcome of the import decides",
                    self.image_id,
                    value,
                )
            else:
                setattr(self.image, name, value)

    def set_image_extra_properties(self, properties: Mapping[str, str]) -> None:
        """Merge custom properties; names of the service (``os_glance*``) are dropped and logged."""
        for name, value in properties.items():
            if name.startswith(domain.RESERVED_PREFIX):
                _log_dropped(self.image_id, name)
            else:
                self.image.extra_properties[name] = value

    def pop_extra_property(self, name: str) -> str | None:
        """Remove a custom property; return what it was, None if there was none."""
        if name.startswith(domain.RESERVED_PREFIX):
            _log_dropped(self.image_id, name)
            return None
        return self.image.extra_properties.pop(name, None)

    def add_importing_stores(self, stores: Iterable[str]) -> None:
        """Add to the stores that the image is being imported to."""
        self._merge(domain.IMPORTING_TO_STORES, add=stores)

    def remove_importing_stores(self, stores: Iterable[str]) -> None:
        """Remove from the stores that the image is being imported to."""
        self._merge(domain.IMPORTING_TO_STORES, remove=stores)

    def add_failed_stores(self, stores: Iterable[str]) -> None:
        """Add to the stores where the import failed."""
        self._merge(domain.FAILED_IMPORT, add=stores)

    def remove_failed_stores(self, stores: Iterable[str]) -> None:
        """Remove from the stores where the import failed."""
        self._merge(domain.FAILED_IMPORT, remove=stores)

    def remove_location_for_store(self, backend: str) -> None:
        """Do nothing: an image that is being imported has no places of data yet."""
        LOG.info('Image %s: a plugin wanted to remove its data from %s', self.image_id, backend)

    def set_image_data(
        self, uri: str, task_id: str, backend: str | None, set_active: bool, callback: Any = None
    ) -> NoReturn:
        """Refuse: data reaches stores only after every plugin has agreed to it.

        :raises ImportFailed: always; the message says what to do instead.
        """
        raise exceptions.ImportFailed(
            'plugin_failed',
            'a plugin cannot put data into a store; it must provide file_path, and the service '
            'stores that.',
        )

    def wanted_properties(self) -> dict[str, Any]:
        """Return the changes of properties that are to be saved."""
        return self.image.property_changes() | self._store_lists

    def _merge(self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        known = self._store_lists.get(name, self.image.extra_properties.get(name, ''))
        stores = (set(known.split(',')) | set(add)) - set(remove)
        self._store_lists[name] = ','.join(sorted(store for store in stores if store))


class TaskRepo:
    """Reads task records; the service alone writes them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def get(self, task_id: str) -> PluginTask:
        """Return a task.

        :raises TaskNotFound: there is none.
        """
        with self._db.reader() as session:
            return PluginTask(tasks.get(session, task_id))

    def save(self, task: PluginTask) -> None:
        """Keep the record as it is; the outcome of the import will be its message."""
        LOG.info('Task %s: a plugin wanted to save it; message: %s', task.task_id, task.message)


class PluginTask:
    """A task as plugins see it."""

    def __init__(self, task: Task) -> None:
        self.task_id = task.task_id
        self.type = task.type
        self.status = task.status
        self.owner = task.owner
        self.image_id = task.image_id
        self.user_id = task.user_id
        self.request_id = task.request_id
        self.task_input = task.input
        self.result = task.result
        self.message = task.message
        self.created_at = task.created_at
        self.updated_at = task.updated_at
        self.expires_at = task.expires_at


class ImageFactory:
    """Stands where plugins could make further images; the service makes none for them."""

    def new_image(self, **attributes: Any) -> NoReturn:
        """Refuse.

        :raises Forbidden: always.
        """
        raise exceptions.Forbidden('An import plugin cannot create images.')


def _not_held() -> exceptions.ImportCancelled:
    return exceptions.ImportCancelled('The image is no longer held by this import.')


def _log_dropped(image_id: str, name: str) -> None:
    LOG.warning('Image %s: a plugin may not set %s; dropped', image_id, name)
