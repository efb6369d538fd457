# SPDX-License-Identifier: Apache-2.0
"""The TaskFlow step around an :class:`~glance_lite.plugin.base.ImportPlugin`.

It makes the snapshot and the view of the staged data, applies the changes in one save, and cleans
up behind the plugin. Plugins that bring their own tasks do not come here.
"""

from __future__ import annotations

import os
import re
import types
from typing import Any

from oslo_config import cfg
from oslo_log import log
from taskflow import task
from taskflow.patterns import linear_flow

from glance_lite.domain import image as domain
from glance_lite.plugin import base, isolation, settings

LOG = log.getLogger(__name__)

_SCHEME = 'file://'


def make_flow(
    plugin_class: type[base.ImportPlugin],
    *,
    conf: cfg.ConfigOpts,
    chosen: settings.Settings = settings.DEFAULTS,
    **kwargs: Any,
) -> linear_flow.Flow:
    """Return a flow of one step, ``run-plugin:<name>``.

    :param chosen: what the section of the plugin says.
    :param kwargs: what plugins written for Glance get; ``context``, ``image_repo`` and
        ``action_wrapper`` are used.
    """
    step_class = RunTransformingPlugin if plugin_class.transforms else RunPlugin
    plugin: base.ImportPlugin | isolation.IsolatedPlugin
    if chosen.isolated:
        plugin = isolation.IsolatedPlugin(plugin_class, conf, chosen)
    else:
        plugin = plugin_class(conf)
    step = step_class(plugin, kwargs['context'], kwargs['image_repo'], kwargs['action_wrapper'])
    return linear_flow.Flow(plugin_class.name).add(step)


class RunPlugin(task.Task):
    """Run one plugin on the staged data. Undone by the plugin's ``revert``."""

    def __init__(
        self,
        plugin: base.ImportPlugin | isolation.IsolatedPlugin,
        context: Any,
        image_repo: Any,
        action_wrapper: Any,
    ) -> None:
        super().__init__(name=f'run-plugin:{plugin.name}')
        self._plugin = plugin
        self._context = context
        self._image_repo = image_repo
        self._action_wrapper = action_wrapper
        #: What the plugin said for its receipt.
        self.note: str | None = None

    def execute(self, file_path: str) -> str | None:
        staged = self._staged(file_path)
        _remove(staged.new_path())
        changes = self._plugin.execute(self._snapshot(), staged)
        if changes is None:
            return None
        if not isinstance(changes, base.ImageChanges):
            raise TypeError(f'execute returned {type(changes).__name__}, not ImageChanges or None')
        self.note = changes.note
        return self._apply(changes, staged)

    def revert(self, file_path: str, **kwargs: Any) -> None:
        try:
            staged = self._staged(file_path)
            self._plugin.revert(self._snapshot(), staged)
        except Exception:
            # the steps before this one must be undone whatever this plugin does
            LOG.exception('Import plugin %s failed to undo its work', self._plugin.name)
        finally:
            self._clean(file_path)

    def _clean(self, file_path: str) -> None:
        try:
            _remove(self._staged(file_path).new_path())
        except OSError:
            LOG.exception('New data of import plugin %s could not be removed', self._plugin.name)

    def _apply(self, changes: base.ImageChanges, staged: base.StagedData) -> str | None:
        attributes: dict[str, Any] = {
            name: value
            for name in ('disk_format', 'container_format', 'virtual_size')
            if (value := getattr(changes, name)) is not None
        }
        if changes.file_path is not None:
            self._check_new_data(changes.file_path, staged)
            attributes['size'] = os.stat(changes.file_path).st_size
        needs = {
            name: value
            for name in ('min_disk', 'min_ram')
            if (value := getattr(changes, name)) is not None
        }
        removed = [name for name, value in changes.properties.items() if value is None]
        if attributes or needs or changes.properties:
            with self._action_wrapper as action:
                if attributes:
                    action.set_image_attribute(**attributes)
                for name, value in needs.items():
                    setattr(action.image, name, value)
                action.set_image_extra_properties(
                    {key: value for key, value in changes.properties.items() if value is not None}
                )
                for name in removed:
                    action.pop_extra_property(name)
        if changes.file_path is None:
            return None
        return _SCHEME + changes.file_path

    def _check_new_data(self, path: str, staged: base.StagedData) -> None:
        if not self._plugin.transforms:
            raise TypeError('only a plugin with transforms = True may return a file_path')
        if path != staged.new_path():
            raise ValueError('file_path must be the path that staged.new_path() gives')

    def _snapshot(self) -> base.ImageSnapshot:
        image = self._image_repo.get(self._action_wrapper.image_id)
        properties = {
            name: value
            for name, value in image.extra_properties.items()
            if not name.startswith(domain.RESERVED_PREFIX)
        }
        context = self._context
        return base.ImageSnapshot(
            image_id=image.image_id,
            name=image.name,
            owner=image.owner,
            visibility=image.visibility,
            size=image.size,
            virtual_size=image.virtual_size,
            disk_format=image.disk_format,
            container_format=image.container_format,
            min_disk=image.min_disk,
            min_ram=image.min_ram,
            tags=tuple(sorted(image.tags)),
            properties=types.MappingProxyType(properties),
            importer=base.Importer(
                context.user_id,
                context.project_id,
                tuple(role.lower() for role in context.roles),
                bool(context.is_admin),
            ),
        )

    def _staged(self, file_path: str) -> base.StagedData:
        # as the plugins of the field take and give it: the plain path behind the scheme
        path = file_path.removeprefix(_SCHEME)
        # a name that staging knows as the image's own, so that nothing of it can be left over
        word = re.sub(r'[^0-9a-zA-Z-]', '-', self._plugin.name)
        return base.StagedData(
            path, f'{path}.{word}', self._action_wrapper.advance, self._action_wrapper.expect
        )


class RunTransformingPlugin(RunPlugin):
    """The same for a plugin that may give new data: later steps find it as ``file_path``."""

    default_provides = 'file_path'


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
