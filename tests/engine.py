# SPDX-License-Identifier: Apache-2.0
"""An import engine without HTTP: stage bytes, post imports, run them in this process."""

from __future__ import annotations

import io
import os
import random
import uuid
from typing import Any

from oslo_config import cfg

from glance_lite import image_data
from glance_lite.conductor.conductor import ImportConductor
from glance_lite.context import RequestContext
from glance_lite.db import images, jobs, schema, staged, tasks
from glance_lite.db.engine import Database
from glance_lite.domain import image as image_domain
from glance_lite.domain import import_request, task_request
from glance_lite.domain import task as task_domain
from glance_lite.image_import import start
from glance_lite.plugin.loader import PluginSet
from glance_lite.policy import Policy
from glance_lite.receiving import Receiving
from glance_lite.remote.options import HttpOptions
from glance_lite.remote.url_filter import UrlFilter
from glance_lite.services import Rules, Services
from glance_lite.stores.registry import StoreRegistry
from glance_lite.stores.staging import StagingArea, seal

#: Who asks for tasks.
CALLER = RequestContext(
    user_id='u1', project_id='p1', roles=['member', 'reader'], request_id='req-1'
)


class Engine:
    """The services of one configuration, with the plugins handed in."""

    def __init__(self, conf: cfg.ConfigOpts, plugins: PluginSet | None = None) -> None:
        db = Database.from_conf(conf)
        schema.sync(db)
        self.services = Services(
            rules=Rules(
                conf=conf,
                plugins=plugins or PluginSet({}),
                url_filter=UrlFilter.from_conf(conf),
                http_options=HttpOptions.from_conf(conf),
            ),
            db=db,
            stores=StoreRegistry.from_conf(conf),
            staging=StagingArea.from_conf(conf),
            policy=Policy.from_conf(conf),
            receiving=Receiving(db),
        )
        self.db = db

    def stage(self, data: bytes | int = 100_000, disk_format: str = 'raw', **values: Any) -> str:
        """Make an image whose bytes (so many, or these) are staged; return its id."""
        if isinstance(data, int):
            data = random.Random(data).randbytes(data)
        image_id = self.create(disk_format, status=image_domain.UPLOADING, **values)
        name = f'{image_id}.upload-1'
        fd = self.services.staging.create(name)
        facts = image_data.transfer(
            io.BytesIO(data), lambda piece: os.write(fd, piece), hash_algo='sha512'
        )
        facts = facts.to_record() | {'mtime_ns': seal(fd)}
        os.close(fd)
        record = staged.Staged(image_id, self.services.staging.area_id, name, facts)
        with self.db.writer() as session:
            staged.insert(session, record)
        return image_id

    def create(self, disk_format: str = 'raw', **values: Any) -> str:
        """Make an image without data; return its id."""
        image_id = str(uuid.uuid4())
        with self.db.writer() as session:
            images.insert(
                session,
                image_domain.Image(
                    image_id, owner='p1', disk_format=disk_format, container_format='bare', **values
                ),
            )
        return image_id

    def post(self, image_id: str, **plan: Any) -> str:
        """Post an import, glance-direct without ``uri`` or ``method``; return the task's id."""
        task_id = str(uuid.uuid4())
        method = plan.get('method') or ('web-download' if 'uri' in plan else 'glance-direct')
        full = {
            'method': method,
            'stores': ['fast'],
            'all_stores_must_succeed': True,
            'plugins': [] if method == import_request.COPY_IMAGE else self.services.plugins.names,
            'validation': None,
        } | plan
        before = import_request.NEEDS_STATUS[method]
        after = image_domain.ACTIVE if method == import_request.COPY_IMAGE else None
        with self.db.writer() as session:
            assert images.hold_for_import(
                session, image_id, task_id, before, after or image_domain.IMPORTING
            )
            tasks.insert(
                session,
                task_domain.Task(
                    task_id,
                    image_id,
                    'p1',
                    plan=full,
                    request_id='req-1',
                    input={'method': {'name': method}},
                    caller={'project_id': 'p1', 'roles': ['member'], 'user_id': 'u1'},
                ),
            )
            staged_here = method == import_request.GLANCE_DIRECT
            area = self.services.staging.area_id if staged_here else None
            jobs.post(session, task_id, 'import', {}, area)
        return task_id

    def post_task(self, uri: str, disk_format: str = 'raw', **properties: Any) -> str:
        """Ask by a task for an image of what ``uri`` has; return the task's id."""
        wanted = task_request.TaskRequest(uri, disk_format, properties)
        image = image_domain.Image(str(uuid.uuid4()), owner='p1', **properties)
        task_request.finish_image(image, wanted)
        fetched = start.check_task_source(self.services, wanted)
        return start.start_task(self.services, CALLER, image, wanted, fetched, ('fast',)).task_id

    def active(self, data: bytes | int = 100_000, **plan: Any) -> str:
        """Import an image and return its id."""
        image_id = self.stage(data)
        self.post(image_id, **plan)
        assert self.conductor().run_pending() == 1
        assert self.image(image_id).status == image_domain.ACTIVE
        return image_id

    def conductor(self) -> ImportConductor:
        """Return a new conductor."""
        return ImportConductor(self.services)

    def image(self, image_id: str) -> image_domain.Image:
        """Read an image."""
        with self.db.reader() as session:
            return images.get(session, image_id)

    def task(self, task_id: str) -> task_domain.Task:
        """Read a task."""
        with self.db.reader() as session:
            return tasks.get(session, task_id)

    def leftovers(self) -> dict[str, Any]:
        """Return what an import could have left behind, by place."""
        with self.db.reader() as session:
            rows = {
                'jobs': jobs.count(session),
                'flows': session.exec_driver_sql('SELECT count(*) FROM flowdetails').scalar(),
            }
        places = {store.store_id: os.listdir(store.directory) for store in self.services.stores}
        return rows | places | {'staging': self.services.staging.list_files()}
