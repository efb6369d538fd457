# SPDX-License-Identifier: Apache-2.0
"""The tools of oslo.policy, run as operators run them, find our rules and our policy file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from glance_lite.cmd.policy_tools import config_arguments

FILE = {
    'upload_image': 'rule:context_is_admin',
    'publicize_image': 'rule:context_is_admin',
    'get_images': '',
}
TOKEN = {
    'token': {
        'user': {'id': 'u', 'name': 'anna', 'domain': {'id': 'default', 'name': 'Default'}},
        'project': {'id': 'p', 'name': 'p', 'domain': {'id': 'default', 'name': 'Default'}},
        'roles': [{'id': 'r', 'name': 'member'}],
    }
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a configuration and a policy file beside it."""
    (tmp_path / 'glance-api.conf').write_text('[oslo_policy]\npolicy_file = mine.yaml\n')
    (tmp_path / 'mine.yaml').write_text(json.dumps(FILE))
    return tmp_path


def run(folder: Path, tool: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / tool), *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=folder,
        env={'PATH': os.environ['PATH'], 'PYTHONWARNINGS': 'ignore', 'HOME': str(folder)},
    )


def of_service(folder: Path, tool: str) -> subprocess.CompletedProcess[str]:
    return run(folder, tool, '--namespace', 'glance_lite', '--config-file', 'glance-api.conf')


def test_list_redundant_names_what_only_repeats_a_default(folder: Path) -> None:
    done = of_service(folder, 'oslopolicy-list-redundant')
    assert (done.returncode, done.stderr) == (0, '')
    assert done.stdout.split() == ['"publicize_image":', '"rule:context_is_admin"']


def test_policy_generator_prints_the_rules_in_force(folder: Path) -> None:
    done = of_service(folder, 'oslopolicy-policy-generator')
    assert (done.returncode, done.stderr) == (0, '')
    lines = done.stdout.splitlines()
    assert '"upload_image": "rule:context_is_admin"' in lines and '"get_images": ""' in lines
    assert any(line.startswith('"modify_image": "rule:context_is_admin or') for line in lines)


def test_sample_generator_prints_every_rule_as_a_comment(folder: Path) -> None:
    done = run(folder, 'oslopolicy-sample-generator', '--namespace', 'glance_lite')
    assert (done.returncode, done.stderr) == (0, '')
    assert '#"upload_image": "rule:context_is_admin or (role:member' in done.stdout


@pytest.mark.parametrize(
    ('more', 'said'),
    [
        ({}, ''),
        ({'upload_imge': '!'}, 'Unknown rule found in policy file: upload_imge'),
        ({'add_image': 'rule:nothing'}, 'mine.yaml cannot be used'),
        ({'add_image': 'not rolemember'}, 'the rule add_image cannot be understood'),
    ],
    ids=['right', 'unknown', 'undefined', 'unreadable'],
)
def test_validator_accepts_a_right_file_and_says_what_is_wrong(
    folder: Path, more: dict[str, str], said: str
) -> None:
    (folder / 'mine.yaml').write_text(json.dumps(FILE | more))
    done = of_service(folder, 'oslopolicy-validator')
    assert done.returncode == bool(more), done.stderr
    assert said in done.stdout + done.stderr and 'Traceback' not in done.stderr


def test_validator_says_that_a_file_is_missing(folder: Path) -> None:
    (folder / 'mine.yaml').unlink()
    done = of_service(folder, 'oslopolicy-validator')
    assert done.returncode == 1 and 'mine.yaml does not exist' in done.stderr


@pytest.mark.parametrize(
    ('rule', 'target', 'verdict'),
    [
        ('upload_image', {'project_id': 'p'}, 'failed'),
        ('modify_image', {'project_id': 'p'}, 'passed'),
        ('modify_image', {'project_id': 'other'}, 'failed'),
        ('get_image', {'project_id': 'other', 'visibility': 'public'}, 'failed'),
    ],
)
def test_checker_tells_whether_a_token_passes(
    folder: Path, rule: str, target: dict[str, str], verdict: str
) -> None:
    """It knows the rules of one file alone; policy-generator prints them all."""
    whole = folder / 'whole.yaml'
    whole.write_text(of_service(folder, 'oslopolicy-policy-generator').stdout)
    (folder / 'token.json').write_text(json.dumps(TOKEN))
    (folder / 'target.json').write_text(json.dumps(target))
    done = run(
        folder,
        'oslopolicy-checker',
        *('--policy', 'whole.yaml', '--access', 'token.json'),
        *('--rule', rule, '--target', 'target.json'),
    )
    assert done.stdout == f'{verdict}: {rule}\n', done.stderr


def test_a_json_file_is_converted(folder: Path) -> None:
    """What the file only repeats becomes a comment."""
    (folder / 'policy.json').write_text(json.dumps(FILE))
    done = run(
        folder,
        'oslopolicy-convert-json-to-yaml',
        *('--namespace', 'glance_lite', '--policy-file', 'policy.json'),
        *('--output-file', 'policy.yaml'),
    )
    assert done.returncode == 0, done.stderr
    lines = (folder / 'policy.yaml').read_text().splitlines()
    assert '"upload_image": "rule:context_is_admin"' in lines
    assert '#"publicize_image": "rule:context_is_admin"' in lines


def test_the_tools_keep_their_own_options() -> None:
    assert config_arguments(['--a', '--config-dir=/x', 'b']) == ['--config-dir=/x']
    assert config_arguments(['--config-file', 'x', 'y']) == ['--config-file', 'x']
