# SPDX-License-Identifier: Apache-2.0
"""A whole service of one's own on loopback: its folder, its configuration and its process.

For the quick start. It runs ``glance-lite-api`` as anybody would, from outside.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from glance_lite.client.errors import ClientError

HOST = '127.0.0.1'
USUAL_PORT = 9292
START_SECONDS = 90.0
STOP_SECONDS = 20.0

#: Log lines that explain no failure, and the inner lines of a traceback.
_ROUTINE = re.compile(r'\s|Traceback|\S+ \S+ \d+ (INFO|DEBUG) ')

_API_CONF = """\
# Written by the quick start; change it as you like, it is kept.
[DEFAULT]
bind_host = {host}
bind_port = {port}
node_staging_uri = file://{folder}/staging

[glance_store]
filesystem_store_datadir = {folder}/images

[database]
connection = sqlite:///{folder}/glance-lite.sqlite

[api]
# whoever reaches this port may do everything; it is on loopback only
auth_strategy = none
graceful_shutdown_timeout = 5
"""

_IMPORT_CONF = """\
# Written by the quick start; change it as you like, it is kept.
[image_import_opts]
# import plugins, in the order in which they run
image_import_plugins = [inject_image_metadata]

[inject_metadata_properties]
# every imported image gets these properties, unless its owner has one of the roles
inject = "imported_by":"glance_lite quick start"
ignore_user_roles = nobody

# [import_filtering_opts]
# private addresses are never fetched from, unless they are named here, and only these ports
# permitted_networks = [192.168.0.0/16]
# allowed_ports = [80, 443, 8000]
"""


class LocalService:
    """A service whose files are all in ``folder``. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log_path = self.folder / 'glance-lite.log'
        self.api_conf = self.folder / 'glance-api.conf'
        self.import_conf = self.folder / 'glance-image-import.conf'
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        """Base URL of the service."""
        return f'http://{HOST}:{self.port}'

    def prepare(self) -> None:
        """Make the folder and the configuration; what is there already is kept.

        :raises ClientError: if another service uses the folder, or it cannot be written.
        """
        try:
            for name in ('staging', 'images'):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / '.lock', os.O_RDWR | os.O_CREAT)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._write_configuration()
        except BlockingIOError:
            raise ClientError(
                f'Another quick start is running in {self.folder}: stop it, or choose another '
                'folder with --folder.'
            ) from None
        except OSError as problem:
            raise ClientError(f'Cannot use the folder {self.folder}: {problem}') from None

    def start(self) -> None:
        """Start the service and wait until it answers.

        :raises ClientError: if it ends instead, or does not answer in time.
        """
        command = [
            sys.executable,
            '-m',
            'glance_lite.cmd.api',
            '--config-file',
            str(self.api_conf),
            '--config-file',
            str(self.import_conf),
        ]
        with open(self.log_path, 'wb') as log:
            # a session of its own: Ctrl-C is for this program, which then stops the service
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        give_up_at = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise ClientError(f'The service did not start.\n{self.log_tail()}')
            if time.monotonic() > give_up_at:
                raise ClientError(f'The service does not answer.\n{self.log_tail()}')
            time.sleep(0.1)

    def wait(self) -> int:
        """Wait until the service ends by itself and return its exit status."""
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> None:
        """Stop the service: ask it, and end it by force if it does not listen."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def log_tail(self, lines: int = 8) -> str:
        """Return the last complaints in the service's log, indented, and where it is."""
        try:
            written = self.log_path.read_text(errors='replace').splitlines()
        except OSError:
            written = []
        complaints = [line for line in written if line and not _ROUTINE.match(line)]
        shown = (complaints or written)[-lines:]
        return '\n'.join([f'From the log, {self.log_path}:', *(f'    {line}' for line in shown)])

    def __enter__(self) -> LocalService:
        return self

    def __exit__(self, *problem: object) -> None:
        self.stop()

    def _write_configuration(self) -> None:
        known = self.api_conf.read_text() if self.api_conf.exists() else ''
        if f'{self.folder}/' not in known:  # none yet, or of a folder that was moved
            known = _API_CONF.format(host=HOST, port=USUAL_PORT, folder=self.folder)
        found = re.search(r'^\s*bind_port\s*=\s*(\d+)', known, re.MULTILINE)
        self.port = _free_port(int(found.group(1)) if found else USUAL_PORT)
        known = re.sub(r'(?m)^(\s*bind_port\s*=\s*)\d+', rf'\g<1>{self.port}', known)
        self.api_conf.write_text(known)
        if not self.import_conf.exists():
            self.import_conf.write_text(_IMPORT_CONF)

    def _answers(self) -> bool:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f'{self.url}/healthcheck', timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False


def _free_port(wanted: int) -> int:
    """Return ``wanted`` if nobody listens there, or else a port that the system offers."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError('no TCP port is free')
