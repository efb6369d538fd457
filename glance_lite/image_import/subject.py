# SPDX-License-Identifier: Apache-2.0
"""The image of an import: one that is there and held, or one that the task is to make.

Steps, plugins and the outcome work with either in the same way. An image to be made is a draft on
its task's record, under an id that nobody was told: there is nothing to list, to find or to delete
before :meth:`DraftedImage.publish` adds it, complete and active.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from glance_lite import exceptions, inspection
from glance_lite.db import images, tasks
from glance_lite.db.engine import Session
from glance_lite.domain import image as domain
from glance_lite.domain import import_request
from glance_lite.domain import task as task_domain
from glance_lite.domain.task import Task


class Subject(Protocol):
    """What an import does to its image. All in the caller's transaction, which proves its right."""

    def read(self, session: Session) -> domain.Image:
        """Return the image as it is now.

        :raises ImageNotFound: it was deleted.
        """
        ...

    def read_bare(self, session: Session) -> domain.Image:
        """Return the image as :meth:`read` does; properties, tags and locations may be left out."""
        ...

    def write(
        self,
        session: Session,
        columns: Mapping[str, Any],
        properties: Mapping[str, str | None] | None = None,
        tags: Iterable[str] | None = None,
    ) -> bool:
        """Change the image while it is imported; False if the import does not hold it."""
        ...

    def publish(
        self,
        session: Session,
        columns: Mapping[str, Any],
        locations: list[domain.Location],
        failed_stores: str | None,
        formats: list[str],
    ) -> bool:
        """Make the image active, its data in these places; False as of :meth:`write`.

        :param failed_stores: ids of the stores that have none of it, with commas.
        """
        ...

    def release(
        self, session: Session, error: Mapping[str, Any], stores: list[str], keep_staged: bool
    ) -> None:
        """Let go of the image after a failure, and leave the reason with it."""
        ...


def of(task: Task) -> Subject:
    """Return the image of a task's import."""
    return DraftedImage(task) if task_domain.makes_image(task) else HeldImage(task)


class HeldImage:
    """An image that was there before, held by the task: ``importing``, or active while copied."""

    def __init__(self, task: Task) -> None:
        assert task.image_id is not None
        self._image_id: str = task.image_id
        self._task_id = task.task_id
        self._is_active = task.plan.get('method') in import_request.OF_ACTIVE

    def read(self, session: Session) -> domain.Image:
        """Return the image as it is now."""
        return images.get(session, self._image_id)

    def read_bare(self, session: Session) -> domain.Image:
        """Return the image without what stands beside it."""
        return images.get_bare(session, self._image_id)

    def write(
        self,
        session: Session,
        columns: Mapping[str, Any],
        properties: Mapping[str, str | None] | None = None,
        tags: Iterable[str] | None = None,
    ) -> bool:
        """Change the image."""
        if not self._update(session, columns):
            return False
        images.set_properties(session, self._image_id, dict(properties or {}))
        if tags is not None:
            images.set_tags(session, self._image_id, tags)
        return True

    def publish(
        self,
        session: Session,
        columns: Mapping[str, Any],
        locations: list[domain.Location],
        failed_stores: str | None,
        formats: list[str],
    ) -> bool:
        """Make the image active."""
        if not self._update(session, {'status': domain.ACTIVE, **columns}):
            return False
        images.set_locations(session, self._image_id, locations)
        disk_format = images.get_bare(session, self._image_id).disk_format
        images.set_properties(
            session,
            self._image_id,
            {
                domain.CONTENT_FORMAT: inspection.undeclared(formats, disk_format),
                domain.IMPORTING_TO_STORES: None,
                domain.UNCHECKED: None,
                domain.FAILED_IMPORT: failed_stores,
                domain.IMPORT_ERROR: None,
            },
        )
        return True

    def release(
        self, session: Session, error: Mapping[str, Any], stores: list[str], keep_staged: bool
    ) -> None:
        """Return the image to where its user can begin again."""
        columns: dict[str, Any] = {'import_task_id': None}
        if not self._is_active:
            columns['status'] = domain.UPLOADING if keep_staged else domain.QUEUED
            columns |= {} if keep_staged else images.NO_DATA
        if not self._update(session, columns):
            return  # deleted meanwhile
        images.set_properties(
            session,
            self._image_id,
            {
                domain.IMPORT_TASK: None,
                domain.IMPORTING_TO_STORES: None,
                domain.UNCHECKED: None,
                domain.FAILED_IMPORT: ','.join(stores) or None,
                domain.IMPORT_ERROR: f"{error['code']}: {error['message']}",
            },
        )

    def _update(self, session: Session, columns: Mapping[str, Any]) -> bool:
        return images.update(
            session,
            self._image_id,
            from_status=domain.HAS_DATA if self._is_active else domain.IMPORTING,
            held_by=self._task_id,
            **columns,
        )


class DraftedImage:
    """An image that is not there yet: a draft on the task's record."""

    def __init__(self, task: Task) -> None:
        assert task.image_id is not None
        self._image_id: str = task.image_id
        self._task_id = task.task_id
        self._planned: dict[str, Any] = task.plan['image']

    def read(self, session: Session) -> domain.Image:
        """Return the image as it will be."""
        if images.is_taken(session, self._image_id):  # published, and deleted since
            raise exceptions.ImageNotFound(self._image_id)
        draft = tasks.get_draft(session, self._task_id) or self._planned
        image = domain.from_draft(self._image_id, draft)
        image.import_task_id = self._task_id
        return image

    read_bare = read

    def write(
        self,
        session: Session,
        columns: Mapping[str, Any],
        properties: Mapping[str, str | None] | None = None,
        tags: Iterable[str] | None = None,
    ) -> bool:
        """Change the draft."""
        image = self.read(session)
        for name, value in columns.items():
            setattr(image, name, value)
        for name, text in (properties or {}).items():
            if text is not None:
                image.properties[name] = text
            else:
                image.properties.pop(name, None)
        if tags is not None:
            image.tags = list(tags)
        return tasks.update(session, self._task_id, draft=domain.to_draft(image))

    def publish(
        self,
        session: Session,
        columns: Mapping[str, Any],
        locations: list[domain.Location],
        failed_stores: str | None,
        formats: list[str],
    ) -> bool:
        """Add the image, which is active from the first."""
        try:
            image = self.read(session)
        except exceptions.ImageNotFound:
            return False
        for name, value in columns.items():
            setattr(image, name, value)
        image.status = domain.ACTIVE
        for name in (domain.IMPORT_TASK, domain.IMPORTING_TO_STORES, domain.FAILED_IMPORT):
            image.properties.pop(name, None)
        if failed_stores:
            image.properties[domain.FAILED_IMPORT] = failed_stores
        undeclared = inspection.undeclared(formats, image.disk_format)
        if undeclared:
            image.properties[domain.CONTENT_FORMAT] = undeclared
        images.insert(session, image)
        images.set_locations(session, self._image_id, locations)
        return True

    def release(
        self, session: Session, error: Mapping[str, Any], stores: list[str], keep_staged: bool
    ) -> None:
        """Leave nothing: the reason stays with the task alone."""
