# SPDX-License-Identifier: Apache-2.0
"""Write the distribution of a new import plugin, which passes its own tests.

The plugin that it brings refuses images beyond a size and notes the rest; an author replaces that.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from pathlib import Path

from glance_lite import exceptions

_NAME = re.compile(r'[a-z][a-z0-9_]{0,39}')

_SETUP_CFG = """\
[metadata]
name = glance-lite-{dashed}
version = 0.1.0
description = An import plugin for glance_lite
long_description = file: README.rst
long_description_content_type = text/x-rst

[options]
packages = glance_lite_{name}
python_requires = >=3.11
install_requires =
    glance_lite
    oslo.config

[options.extras_require]
test =
    pytest

[options.entry_points]
glance.image_import.plugins =
    {name} = glance_lite_{name}.plugin:{camel}.get_flow
"""

_SETUP_PY = '''\
"""Build the distribution; everything about it is in setup.cfg."""

import setuptools

setuptools.setup()
'''

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
"""

_README = """\
glance-lite-{dashed}
{line}

An import plugin for glance_lite. It refuses images that are larger than ``max_size``.

Install it on every host of the service, and name it in ``glance-image-import.conf``::

    [image_import_opts]
    image_import_plugins = {name}

    [{name}]
    max_size = 10240

Restart the service. ``glance-lite-plugins list`` shows the plugin.

``max_size`` (102400)
    The largest size that is accepted, in MiB.

Test it
-------

::

    pip install -e '.[test]'
    pytest
"""

_INIT = '''\
"""An import plugin for glance_lite; it is in plugin.py."""
'''

_PLUGIN = '''\
"""The import plugin {name}."""

from __future__ import annotations

from oslo_config import cfg

from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData, reject

MIB = 1024 * 1024


class {camel}(ImportPlugin):
    """Refuse images that are larger than ``[{name}] max_size``."""

    name = '{name}'

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        size = cfg.IntOpt('max_size', default=102400, min=1, help='The largest size in MiB.')
        return [('{name}', [size])]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Look at the size alone; ``staged.chunks()`` would give the bytes."""
        limit = self.conf.{name}.max_size
        if staged.size > limit * MIB:
            reject(f'The image is larger than {{limit}} MiB.')
        return ImageChanges(note=f'{{staged.size}} bytes, of at most {{limit}} MiB')
'''

_TEST = '''\
"""The plugin keeps the contract of glance_lite, and refuses what it is to refuse."""

from glance_lite.testing import images
from glance_lite.testing.plugins import ImportPluginContract

MIB = 1024 * 1024


class Test{camel}(ImportPluginContract):
    plugin_name = '{name}'
    options = {{'{name}': {{'max_size': 2}}}}

    def test_the_receipt_tells_the_size(self, trial, source):
        [receipt] = trial.import_file(source).task.receipts
        assert receipt['note'] == f'{{source.stat().st_size}} bytes, of at most 2 MiB'

    def test_an_image_that_is_too_large_is_refused(self, trial, tmp_path):
        outcome = trial.import_file(images.write_qcow2(tmp_path / 'large', 3 * MIB))
        assert outcome.code == 'plugin_rejected'
        assert 'larger than 2 MiB' in outcome.task.message
        assert trial.staged_files() == []
'''


def write(name: str, folder: Path, installed: Collection[str] = ()) -> list[Path]:
    """Write the distribution ``glance-lite-NAME`` into a new folder; return its files.

    :param installed: names of plugins that cannot be taken.
    :raises InvalidRequest: the name cannot be that of a plugin.
    :raises Conflict: the name or the folder is taken.
    """
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise exceptions.InvalidRequest(
            f"'{name}' cannot be the name of a plugin: small letters, digits and _, a letter "
            'first, 40 characters at most, and no word of Python.'
        )
    if name in installed:
        raise exceptions.Conflict(f"A plugin '{name}' is installed already; choose another name.")
    if folder.exists():
        raise exceptions.Conflict(f'{folder} is there already; nothing was written.')
    words = {
        'name': name,
        'dashed': name.replace('_', '-'),
        'camel': ''.join(word.capitalize() for word in name.split('_')),
        'line': '=' * len(f'glance-lite-{name}'),
    }
    package = f'glance_lite_{name}'
    texts = {
        'setup.cfg': _SETUP_CFG,
        'setup.py': _SETUP_PY,
        'pyproject.toml': _PYPROJECT,
        'README.rst': _README,
        f'{package}/__init__.py': _INIT,
        f'{package}/plugin.py': _PLUGIN,
        f'tests/test_{name}.py': _TEST,
    }
    written = []
    for path, text in texts.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.format(**words) if '{' in text else text)
        written.append(target)
    return written
