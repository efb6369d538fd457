# SPDX-License-Identifier: Apache-2.0
"""A running service against its own OpenAPI document, with requests that schemathesis makes up.

``GLANCE_LITE_CONTRACT_SECONDS`` is for how long, in seconds; with more than a minute the requests
are new ones at each run.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.functional.processes import program
from tests.functional.service import service

SECONDS = int(os.environ.get('GLANCE_LITE_CONTRACT_SECONDS', '30'))
#: Without Keystone no token is asked for, so that none can be missed. That a value fits its schema
#: does not make it acceptable: a store, a filter or a format may be another than what is there.
NOT_CHECKED = 'ignored_auth,positive_data_acceptance'


def test_a_running_service_keeps_to_its_document(tmp_path: Path) -> None:
    """No 500, no status, header or body that the document does not know, nothing wrong accepted.

    The requests follow each other's answers, too: create, show, change, upload, delete.
    """
    with service(tmp_path) as found:
        args = ['--url', found.url, '--no-color', '--max-time', str(SECONDS)]
        args += ['--request-timeout', '90']  # answers about tasks may wait for a minute
        args += ['--exclude-checks', NOT_CHECKED, '--max-examples']
        args += ['10', '--seed', '1'] if SECONDS <= 60 else ['1000']
        done = subprocess.run(
            [program('st'), 'run', f'{found.url}/v2/openapi.json', *args],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={
                'PATH': os.environ['PATH'],
                'HOME': str(tmp_path),
                'PYTHONUTF8': '1',
                'SCHEMATHESIS_HOOKS': str(Path(__file__).with_name('schemathesis_hooks.py')),
            },
            timeout=SECONDS + 120,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
        assert 'Tested: ' in done.stdout, done.stdout
        assert 'Traceback' not in found.process.text()
