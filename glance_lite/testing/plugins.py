# SPDX-License-Identifier: Apache-2.0
"""The contract of an import plugin, as tests. An author subclasses it, and installs the plugin."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from taskflow.types import failure

from glance_lite.domain import image as image_domain
from glance_lite.plugin import build
from glance_lite.testing import images
from glance_lite.testing.trial import Options, Trial


class ImportPluginContract:
    """Tests that every import plugin passes, through either door::

        class TestMyPlugin(ImportPluginContract):
            plugin_name = 'my_plugin'
            options = {'my_plugin': {'limit': 10}}

    The distribution with the plugin must be installed, as the plugin is found by its entry point.
    The image that :meth:`make_source` writes must be one that the plugin lets pass.
    """

    #: Name of the entry point.
    plugin_name: str = ''
    #: Options of the configuration, as ``{group: {option: value}}``.
    options: Options = {}
    #: Attributes of the image that is imported.
    image: dict[str, Any] = {'disk_format': 'qcow2', 'container_format': 'bare'}
    #: Roles of the user who imports it.
    roles: tuple[str, ...] = ('member',)

    def make_source(self, directory: Path) -> Path:
        """Write the data that is imported; a small qcow2 disk unless overridden."""
        return images.write_qcow2(directory / 'source.qcow2')

    def make_conf(self) -> cfg.ConfigOpts:
        """Return what the options are loaded into.

        Return ``cfg.CONF`` for a plugin that registers its options there when it is imported.
        """
        return cfg.ConfigOpts()

    @pytest.fixture
    def plugin_options(self) -> Options:
        """Return :attr:`options`; override it for those that other fixtures make."""
        return self.options

    @pytest.fixture
    def trial(self, tmp_path: Path, plugin_options: Options) -> Iterator[Trial]:
        """Yield a service with the plugin enabled."""
        directory = tmp_path / 'service'
        directory.mkdir()
        service = Trial(directory, [self.plugin_name], plugin_options, self.make_conf())
        yield service
        service.close()

    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        """Return the data that is imported."""
        return self.make_source(tmp_path)

    def test_it_is_found_by_its_entry_point(self, trial: Trial) -> None:
        assert trial.services.plugins.names == [self.plugin_name]

    def test_a_good_image_becomes_active(self, trial: Trial, source: Path) -> None:
        outcome = trial.import_file(source, roles=self.roles, **self.image)
        assert (outcome.task.message, outcome.code) == ('', None)
        assert outcome.image.status == image_domain.ACTIVE
        stored = trial.stored_data(outcome.image.image_id)
        assert stored is not None
        algorithm = outcome.image.os_hash_algo or ''
        assert hashlib.new(algorithm, stored).hexdigest() == outcome.image.os_hash_value
        assert outcome.image.size == len(stored)

    def test_it_leaves_nothing_behind(self, trial: Trial, source: Path) -> None:
        outcome = trial.import_file(source, roles=self.roles, **self.image)
        assert trial.staged_files() == []
        reserved = image_domain.RESERVED_PREFIX
        assert not [name for name in outcome.image.properties if name.startswith(reserved)]

    def test_a_failure_after_it_can_be_tried_again(self, trial: Trial, source: Path) -> None:
        image_id = trial.stage(source, **self.image)
        before = trial.image(image_id)
        failed = trial.import_staged(image_id, store='full', roles=self.roles)
        assert (failed.code, failed.image.status) == ('no_space', image_domain.UPLOADING)
        assert trial.staged_files() == [trial.staged_path(image_id)]
        assert trial.stored_data(image_id) is None
        assert failed.image.disk_format == before.disk_format
        assert failed.image.container_format == before.container_format
        again = trial.import_staged(image_id, roles=self.roles)
        assert again.image.status == image_domain.ACTIVE
        assert trial.staged_files() == []

    def test_it_can_be_undone_twice(self, trial: Trial, source: Path) -> None:
        image_id = trial.stage(source, **self.image)
        [built] = trial.build(trial.post(image_id, roles=self.roles))
        values = {'file_path': f'file://{trial.staged_path(image_id)}'}
        for atom in build.iter_atoms(built.flow):
            atom.execute(**_arguments(atom.execute, values))
        error = failure.Failure.from_exception(RuntimeError('a later step failed'))
        undo = values | {'result': None, 'flow_failures': {'later': error}}
        for atom in [*reversed(list(build.iter_atoms(built.flow)))] * 2:
            atom.revert(**_arguments(atom.revert, undo))

    def test_it_leaves_the_staged_file_as_it_was(self, trial: Trial, source: Path) -> None:
        image_id = trial.stage(source, **self.image)
        path = trial.staged_path(image_id)
        assert path is not None
        trial.import_staged(image_id, store='full', roles=self.roles)
        assert os.path.exists(path)
        assert _sha256(Path(path)) == _sha256(source)


def _arguments(method: Any, values: dict[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(method).parameters.values()
    if any(item.kind is item.VAR_KEYWORD for item in parameters):
        return values
    return {item.name: values[item.name] for item in parameters if item.name in values}


def _sha256(path: Path) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
