# SPDX-License-Identifier: Apache-2.0
"""A service in one process and one directory, without HTTP, to run imports in and look at them.

The database, the engine, staging and plugins are the real ones; the two stores are in memory:
``trial``, and ``full``, which takes nothing and so makes an import fail after its plugins.
"""

from __future__ import annotations

import dataclasses
import os
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg

from glance_lite import configuration, deploy, image_data
from glance_lite.context import RequestContext
from glance_lite.db import images, jobs, staged, tasks
from glance_lite.domain import image as image_domain
from glance_lite.domain import task as task_domain
from glance_lite.image_import import surface
from glance_lite.plugin import build
from glance_lite.stores.memory import MemoryStore
from glance_lite.stores.staging import seal

STORE, FULL_STORE = 'trial', 'full'

Options = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How an import ended."""

    image: image_domain.Image
    task: task_domain.Task

    @property
    def code(self) -> str | None:
        """The error code, None after a success."""
        return self.task.error['code'] if self.task.error else None


class Trial:
    """One service. Not thread safe."""

    def __init__(
        self,
        directory: Path,
        plugins: Iterable[str] = (),
        options: Options | None = None,
        conf: cfg.ConfigOpts | None = None,
    ) -> None:
        """Start it in an empty directory, with these plugins enabled.

        :param options: further options, as ``{group: {option: value}}``.
        :param conf: what to load the options into; the global one for plugins that register there.
        :raises ConfigError: as the start of the service would.
        """
        self.conf = cfg.ConfigOpts() if conf is None else conf
        self.conf.reset()  # forget the files of an earlier trial
        path = directory / 'glance-api.conf'
        path.write_text(_conf_text(directory, plugins, options or {}))
        configuration.load(self.conf, files=[str(path)])
        self.services = deploy.build_services(self.conf)
        self.db = self.services.db

    def close(self) -> None:
        """Let go of the database."""
        self.db.dispose()

    def import_file(
        self, source: Path, *, store: str = STORE, roles: Iterable[str] = ('member',), **image: Any
    ) -> Outcome:
        """Stage a file as a new image, import it, and return how that ended.

        :param image: attributes of the image; ``disk_format`` is ``qcow2`` unless given.
        """
        return self.import_staged(self.stage(source, **image), store=store, roles=roles)

    def stage(self, source: Path, **image: Any) -> str:
        """Make an image whose data is staged; return its id."""
        image_id = str(uuid.uuid4())
        values = {'disk_format': 'qcow2', 'container_format': 'bare', 'owner': 'trial-project'}
        record = image_domain.Image(image_id, status=image_domain.UPLOADING, **(values | image))
        staging = self.services.staging
        name = f'{image_id}.upload'
        fd = staging.create(name)
        try:
            with open(source, 'rb', buffering=0) as file:
                facts = image_data.transfer(
                    file,
                    lambda piece: _write(fd, piece),
                    hash_algo=self.conf.hashing_algorithm,
                )
            record_of_data = facts.to_record() | {'mtime_ns': seal(fd)}
        finally:
            os.close(fd)
        with self.db.writer() as session:
            images.insert(session, record)
            staged.insert(session, staged.Staged(image_id, staging.area_id, name, record_of_data))
        return image_id

    def import_staged(
        self, image_id: str, *, store: str = STORE, roles: Iterable[str] = ('member',)
    ) -> Outcome:
        """Import the staged data of an image, and return how that ended."""
        return self.run(self.post(image_id, store=store, roles=roles))

    def run(self, task_id: str) -> Outcome:
        """Run the imports that were posted, and return how this one ended."""
        deploy.load_conductor(self.conf, self.services).run_pending()
        task = self._task(task_id)
        assert task.image_id is not None
        return Outcome(self.image(task.image_id), task)

    def post(
        self,
        image_id: str,
        *,
        store: str = STORE,
        roles: Iterable[str] = ('member',),
        plugins: Iterable[str] | None = None,
    ) -> str:
        """Begin an import that nobody runs yet; return the task's id.

        :param plugins: names for the import's plan, the enabled ones unless given.
        """
        task_id = str(uuid.uuid4())
        plan = {
            'method': 'glance-direct',
            'stores': [store],
            'all_stores_must_succeed': True,
            'plugins': self.services.plugins.names if plugins is None else list(plugins),
            'validation': None,
        }
        caller = RequestContext(
            user_id='trial-user',
            project_id='trial-project',
            roles=list(roles),
            is_admin='admin' in roles,
            overwrite=False,
        )
        with self.db.writer() as session:
            images.hold_for_import(session, image_id, task_id, image_domain.UPLOADING)
            tasks.insert(
                session,
                task_domain.Task(
                    task_id,
                    image_id,
                    'trial-project',
                    plan=plan,
                    user_id='trial-user',
                    request_id='req-trial',
                    caller=caller.to_record(),
                    input={
                        'image_id': image_id,
                        'backend': [store],
                        'import_req': {'method': {'name': 'glance-direct'}},
                    },
                ),
            )
            jobs.post(session, task_id, 'import', {}, self.services.staging.area_id)
        return task_id

    def build(self, task_id: str) -> list[build.BuiltPlugin]:
        """Build the plugins of an import outside its flow, to call their tasks one by one."""
        task = self._task(task_id)
        assert task.image_id is not None
        repo = surface.ImageRepo(self.db, task, lambda session: None)
        return self.services.plugins.build(
            task.plan['plugins'],
            {
                'task_id': task_id,
                'task_type': task.type,
                'image_id': task.image_id,
                'context': RequestContext.from_record(task.caller),
                'import_req': task.input['import_req'],
                'task_repo': surface.TaskRepo(self.db),
                'image_repo': repo,
                'admin_repo': repo,
                'image_factory': surface.ImageFactory(),
                'backend': list(task.plan['stores']),
                'action_wrapper': surface.ActionWrapper(self.db, task, lambda session: None),
                'uri': None,
            },
        )

    def image(self, image_id: str) -> image_domain.Image:
        """Read an image."""
        with self.db.reader() as session:
            return images.get(session, image_id)

    def staged_path(self, image_id: str) -> str | None:
        """Return where the staged data of an image lies, None if it has none."""
        with self.db.reader() as session:
            found = staged.get(session, image_id)
        return None if found is None else self.services.staging.path(found.file_name)

    def staged_files(self) -> list[str]:
        """Return the paths of all files in the staging area, whoever left them there."""
        directory = self.services.staging.directory
        return sorted(
            os.path.join(directory, name)
            for name in os.listdir(directory)
            if not name.startswith('.')
        )

    def stored_data(self, image_id: str) -> bytes | None:
        """Return what the store holds of an image, None if it is nothing."""
        store = self.services.stores.get(STORE)
        assert isinstance(store, MemoryStore)
        found = [data for url, data in store.data.items() if image_id in url]
        return found[0] if found else None

    def _task(self, task_id: str) -> task_domain.Task:
        with self.db.reader() as session:
            return tasks.get(session, task_id)


def _conf_text(directory: Path, plugins: Iterable[str], options: Options) -> str:
    sections: dict[str, dict[str, Any]] = {
        'DEFAULT': {
            'enabled_backends': f'{STORE}:memory, {FULL_STORE}:memory',
            'node_staging_uri': f'file://{directory}/staging',
        },
        'database': {'connection': f'sqlite:///{directory}/trial.sqlite'},
        'glance_store': {'default_backend': STORE},
        FULL_STORE: {'memory_store_capacity': 0},
        'image_import_opts': {'image_import_plugins': ', '.join(plugins)},
    }
    for group, values in options.items():
        sections.setdefault(group, {}).update(values)
    lines: list[str] = []
    for group, values in sections.items():
        lines.append(f'[{group}]')
        lines += [f'{name} = {value}' for name, value in values.items()]
    return '\n'.join(lines) + '\n'


def _write(fd: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(fd, piece) :]
