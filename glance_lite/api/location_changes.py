# SPDX-License-Identifier: Apache-2.0
"""What a patch does to the locations of an image, where ``show_multiple_locations`` lets it.

A request says where data lies, and nobody copies it: the scheme must be one of a list, the URL
passes the filter of downloads before anything is contacted, and it is asked how much is there. A
location of an active image must have its very data, which a conductor finds out: until then
nothing is read from it, and those that the image had stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from glance_lite import exceptions, quotas, removing
from glance_lite.api import access
from glance_lite.api.wsgi import Request
from glance_lite.db import images, removals
from glance_lite.db.engine import Session
from glance_lite.domain import given_location, image_rules, json_patch
from glance_lite.domain import image as domain
from glance_lite.domain.given_location import GivenLocation
from glance_lite.domain.json_patch import Change
from glance_lite.domain.quota import Budget, Limits
from glance_lite.domain.task import Task
from glance_lite.image_import import checking, start
from glance_lite.remote import urls
from glance_lite.stores.base import Store


@dataclasses.dataclass(frozen=True)
class Moved:
    """What follows from a change of locations: columns of the image, a task, data to remove."""

    columns: dict[str, Any] = dataclasses.field(default_factory=dict)
    task: Task | None = None
    gone: list[removals.Removal] = dataclasses.field(default_factory=list)


def look(request: Request, changes: Iterable[Change]) -> dict[str, int]:
    """Return how many bytes lie under each new URL of a patch. No transaction is open meanwhile.

    Whoever may not make the changes learns nothing of the URLs, and nothing is contacted.

    :raises Forbidden: locations are not to be seen here, or the caller may not change them.
    :raises ImportFailed: ``filtered_uri``.
    """
    about = [change for change in changes if change.name == json_patch.LOCATIONS]
    if not about:
        return {}
    if not request.services.conf.show_multiple_locations:
        raise exceptions.Forbidden(
            'The locations of an image are not shown here (show_multiple_locations), and cannot '
            'be changed.'
        )

    def work(session: Session) -> list[domain.Location]:
        image = access.load_image(request, session, 'modify_image')
        edit = LocationEdit(request, session, image)
        for change in about:
            edit.apply(change)
        return edit.added

    return {place.url: _measure(request, place) for place in request.services.db.read(work)}


def follow(request: Request, image: domain.Image, moved: Moved) -> None:
    """Do what comes after the commit: tell of it, and remove data that no image has any more."""
    services = request.services
    if moved.columns:
        services.notifier.image('activate', image)
    if moved.task is not None:
        services.announcer.announce(moved.task.task_id)
        services.notifier.task('create', moved.task)
    for note in moved.gone:
        removing.try_removal(services.db, services.stores, note)


def store_for(request: Request, url: str, store_id: str | None = None) -> Store:
    """Return the store that takes a URL; which schemes do is a list of those that may.

    :param store_id: the store that is to take it, if the caller chose one.
    :raises Forbidden: the caller is no service, and the URL is none that users may register here.
    :raises InvalidRequest: no store takes it, or the chosen one does not.
    """
    services, scheme = request.services, urls.scheme_of(url)
    store = services.stores.for_external(scheme)
    is_service = services.policy.allows(request.context, 'service_api', {})
    if not is_service and (store is None or scheme not in urls.DEFAULT_PORTS):
        raise exceptions.Forbidden(
            'Users may register http and https URLs, and only where there is a store for them.'
        )
    if store_id is not None and store is not None:
        store = services.stores.get(store_id) if store_id in services.stores else None
        if store is None or scheme not in store.external_schemes:
            raise exceptions.InvalidRequest(
                "'metadata.store' names no store that takes URLs of this scheme."
            )
    if store is None:
        taken = sorted(set[str]().union(*(each.external_schemes for each in services.stores)))
        raise exceptions.InvalidRequest(
            "No store takes URLs of the scheme of 'url'; those taken here: "
            f'{", ".join(taken) or "none"}.'
        )
    return store


class LocationEdit:
    """The changes that a patch makes to the locations of one image, in one transaction."""

    def __init__(self, request: Request, session: Session, image: domain.Image) -> None:
        self._request, self._session, self._image = request, session, image
        self._before = list(image.locations)
        self._hashes: dict[str, str] = {}

    @property
    def added(self) -> list[domain.Location]:
        """The locations that the image did not have."""
        known = {place.url for place in self._before}
        return [place for place in self._image.locations if place.url not in known]

    @property
    def removed(self) -> list[domain.Location]:
        """The locations that the image has no longer."""
        left = {place.url for place in self._image.locations}
        return [place for place in self._before if place.url not in left]

    def apply(self, change: Change) -> None:
        """Change the locations of the image object.

        :raises InvalidRequest: naming the rule that the change breaks.
        :raises Forbidden: the caller may not, or no location would be left.
        :raises Conflict: the image is not in the state for it, or has other hashes.
        :raises LimitExceeded: it would have too many.
        """
        if change.op == 'remove':
            self._remove(change.index)
        elif change.index is None:
            if change.op == 'add' and change.strict_add:
                raise exceptions.Conflict("The image has the property 'locations' already.")
            self._replace(given_location.parse_all(change.value))
        else:
            self._add(change.index, given_location.parse(change.value))
        found = [place.url for place in self._image.locations]
        if len(set(found)) < len(found):
            raise exceptions.InvalidRequest('An image has each location once only.')
        image_rules.check_quota(
            found,
            self._request.services.conf.image_location_quota,
            'locations',
            len(self._before),
        )

    def finish(self, sizes: dict[str, int], limits: Limits) -> Moved:
        """Write the locations, and tell what follows. A queued image that gets some is active.

        :param sizes: what :func:`look` returned.
        :param limits: those of the project that owns the image.
        :raises InvalidRequest: a location has not as many bytes as the image, or formats lack.
        :raises Conflict: nothing would be left that is known to be the data of the image.
        :raises LimitExceeded: the project has no room for so many.
        """
        image, added = self._image, self.added
        if image.locations == self._before:
            return Moved()
        if any(place.url not in sizes for place in added):
            raise exceptions.StatusConflict('The image was changed meanwhile; look at it again.')
        columns: dict[str, Any] = {}
        is_checked = bool(added) and self._request.services.conf.do_secure_hash
        if image.status == domain.QUEUED:
            access.require_way_past_import(self._request)
            image_rules.require_formats(image, exceptions.InvalidRequest)
            if self._request.services.plugins.names:
                image.properties[domain.UNCHECKED] = 'location'
                images.set_properties(self._session, image.image_id, {domain.UNCHECKED: 'location'})
            columns = {'status': domain.ACTIVE, 'size': sizes[added[0].url], **self._hashes}
        elif is_checked and len(self.removed) == len(self._before):
            raise exceptions.Conflict(
                'Keep one of the locations of the image until its new ones are found to have the '
                'same data.'
            )
        expected = columns.get('size', image.size)
        if any(sizes[place.url] != expected for place in added):
            raise exceptions.InvalidRequest(
                f'All locations of the image must have {expected} bytes.'
            )
        grown = len(image.locations) - len(self._before)
        if grown > 0:
            rooms = quotas.room_to_store(self._session, limits, image.owner, grown)
            Budget(rooms).require(expected)
        task = None
        if is_checked:
            new = [place.url for place in added]
            task = checking.plan_check(
                self._request.context, image, new, bool(columns), self._hashes
            )
        for name, value in columns.items():
            setattr(image, name, value)
        images.set_locations(self._session, image.image_id, image.locations)
        return Moved(columns, task, removals.note(self._session, image.image_id, self.removed))

    def post(self, moved: Moved) -> None:
        """Post the task that looks at new locations, now that the image is active.

        :raises LimitExceeded: as many imports of the project wait and run as may.
        """
        if moved.task is None:
            return
        conf = self._request.services.conf['import']
        checking.post(self._session, moved.task, conf.max_unfinished_per_project, conf.deadline)
        self._image.import_task_id = moved.task.task_id
        self._image.properties.pop(domain.IMPORT_ERROR, None)
        self._image.properties[domain.IMPORT_TASK] = moved.task.task_id

    def _remove(self, index: int | None) -> None:
        if index is None:
            raise exceptions.Forbidden("The attribute 'locations' cannot be removed.")
        self._require('delete_image_location', (domain.ACTIVE,))
        count = len(self._image.locations)
        if index >= count:
            raise exceptions.InvalidRequest(f'The image has {count} locations, counted from 0.')
        if count == 1:
            raise exceptions.Forbidden('The last location of an image cannot be removed.')
        self._image.locations.pop(index)

    def _replace(self, given: list[GivenLocation]) -> None:
        if not given:
            raise exceptions.Forbidden('The locations of an image cannot be emptied.')
        self._require('set_image_location', (domain.QUEUED, domain.ACTIVE))
        self._image.locations = [self._place(each) for each in given]
        if self.removed:
            self._require('delete_image_location', (domain.ACTIVE,))

    def _add(self, index: int, given: GivenLocation) -> None:
        self._require('set_image_location', (domain.QUEUED, domain.ACTIVE))
        count = len(self._image.locations)
        if index > count:
            raise exceptions.InvalidRequest(f'The image has {count} locations, counted from 0.')
        place = count if index == json_patch.END else index
        self._image.locations.insert(place, self._place(given))

    def _require(self, rule: str, statuses: tuple[str, ...]) -> None:
        access.require(self._request, self._session, self._image, rule)
        start.require_unheld(self._session, self._image)
        if self._image.status not in statuses:
            raise exceptions.StatusConflict(
                f'This change of locations needs an image in status {" or ".join(statuses)}; this '
                f'one is in status {self._image.status}.'
            )

    def _place(self, given: GivenLocation) -> domain.Location:
        """Return where the data is. One that the image has already stays in its store."""
        self._take_hashes(given.hashes)
        for place in self._before:
            if place.url == given.url:
                if given.store not in (None, place.store):
                    raise exceptions.InvalidRequest(
                        f"'metadata.store' of this location is {place.store}, and stays so."
                    )
                return dataclasses.replace(place, metadata=given.metadata)
        try:
            store = store_for(self._request, given.url, given.store)
        except exceptions.Forbidden as error:  # what is wrong here is the URL
            raise exceptions.InvalidRequest(error.message) from None
        return domain.Location(store.store_id, given.url, given.metadata)

    def _take_hashes(self, hashes: dict[str, str]) -> None:
        wanted = self._request.services.conf.hashing_algorithm
        for name, value in hashes.items():
            known = getattr(self._image, name) or self._hashes.get(name)
            if known is not None and known != value:
                raise exceptions.Conflict(f"'{name}' of the image is {known}, and not {value}.")
            if known is None and self._image.status != domain.QUEUED:
                raise exceptions.Conflict(
                    f"'{name}' can only be given while the image is {domain.QUEUED}."
                )
            if known is None and name == 'os_hash_algo' and value != wanted:
                raise exceptions.Conflict(f"'os_hash_algo' must be {wanted} here.")
            self._hashes[name] = value


def _measure(request: Request, place: domain.Location) -> int:
    """Return the bytes under a URL, after the filter has judged it.

    :raises InvalidRequest: there are none to be read.
    :raises LimitExceeded: there are more than an image may have.
    """
    store = request.services.stores.get(place.store)
    store.check_url(place.url)
    try:
        size = store.size(place.url)
    except exceptions.StoreError as error:
        raise exceptions.InvalidRequest(
            f'The data under {urls.mask_url(place.url)} cannot be read: {error.message}'
        ) from None
    cap = request.services.conf.image_size_cap
    if size > cap:
        raise exceptions.LimitExceeded(f'The image data is larger than the limit of {cap} bytes.')
    return size
