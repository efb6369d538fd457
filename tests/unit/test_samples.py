# SPDX-License-Identifier: Apache-2.0
"""The samples in ``etc/`` are what the generators print now, and a service can read them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from glance_lite import configuration

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = ROOT / 'etc/oslo-config-generator'
SAMPLES = {
    'glance-api.conf': 'from oslo_config.generator import main; main()',
    'glance-image-import.conf': 'from oslo_config.generator import main; main()',
    'policy.yaml': 'from oslo_policy.generator import generate_sample; generate_sample()',
}
#: A value that is an example, and an option that oslo.log registers only when it is used.
NOT_DEFAULT = ('#enabled_backends', '#fatal_deprecations')


def generate(name: str, target: Path) -> str:
    """Return what the generator prints; in a process of its own, as it changes what it lists."""
    source = GENERATORS / (name.removesuffix('.yaml').removesuffix('.conf') + '.conf')
    subprocess.run(
        [
            sys.executable,
            '-c',
            SAMPLES[name],
            '--config-file',
            str(source),
            '--output-file',
            str(target),
        ],
        check=True,
        capture_output=True,
        timeout=60,
        cwd=target.parent,
    )
    return target.read_text()


def ours(text: str) -> dict[tuple[str, str], str]:
    """Return the blocks of our namespaces by section: a newer library may word its own anew."""
    blocks = {}
    for part in re.split(r'^(?=\[)', text, flags=re.MULTILINE):
        section = part.partition('\n')[0]
        for block in re.split(r'^(?=#\n# From )', part, flags=re.MULTILINE)[1:]:
            namespace, block = block.splitlines()[1], block.rstrip()
            if namespace.startswith('# From glance_lite.') and section not in (
                '[database]',
                '[keystone_authtoken]',
            ):
                blocks[section, namespace] = block
    return blocks


@pytest.mark.parametrize('name', [name for name in SAMPLES if name.endswith('.conf')])
def test_a_sample_of_options_is_fresh(name: str, tmp_path: Path) -> None:
    fresh = ours(generate(name, tmp_path / name))
    assert fresh
    assert ours((ROOT / f'etc/{name}.sample').read_text()) == fresh, 'run: tox -e genconfig'


def test_the_sample_of_the_rules_is_fresh(tmp_path: Path) -> None:
    fresh = generate('policy.yaml', tmp_path / 'policy.yaml')
    assert (ROOT / 'etc/policy.yaml.sample').read_text() == fresh, 'run: tox -e genpolicy'


def test_the_defaults_of_the_samples_can_be_written_out(tmp_path: Path) -> None:
    """Every default without its ``#`` gives a configuration without a warning."""
    files = []
    for name in ('glance-api.conf', 'glance-image-import.conf'):
        path = tmp_path / name
        lines = (ROOT / f'etc/{name}.sample').read_text().splitlines()
        path.write_text(
            '\n'.join(
                line[1:]
                if re.match(r'#[a-z0-9_]+ = [^<]', line) and not line.startswith(NOT_DEFAULT)
                else line
                for line in lines
            )
        )
        files.append(str(path))
    conf = cfg.ConfigOpts()
    configuration.load(conf, files=files)
    assert configuration.find_unknown(conf) == []
    assert conf.bind_port == 9292
