# SPDX-License-Identifier: Apache-2.0
"""A real Keystone on loopback, and callers with its tokens. No test of the service is in here.

Keystone comes from PyPI into an environment of its own, made once and kept; its database and keys
are in a folder of the test run. One process with one thread: SQLite takes one writer at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tests import services
from tests.functional.processes import Process, free_port
from tests.functional.service import Service

VERSION = '30.0.0'
#: Names an environment that has Keystone, to be used instead of one of our own.
VARIABLE = 'GLANCE_LITE_KEYSTONE_ENV'
PASSWORD = 'a-password-of-the-tests'
PROJECTS = ('p1', 'p2', 'service')
#: User, project, and roles in it. Role names are as an operator may have written them.
USERS = (
    ('alice', 'p1', ('member',)),
    ('olga', 'p1', ('member', 'Operator')),
    ('rita', 'p1', ('reader',)),
    ('bob', 'p2', ('member',)),
    ('glance', 'service', ('service',)),
)


def environment() -> Path:
    """Return the folder of the virtual environment that has Keystone; make it if needed.

    Two test runs at once make it once. A run without the means to make it ends as one without any
    other service does. The folder that the variable names is never made nor changed.
    """
    if named := os.environ.get(VARIABLE):
        if not all((Path(named) / 'bin' / name).exists() for name in ('keystone-manage', 'uwsgi')):
            services.missing(f'{VARIABLE} = {named} has no keystone-manage or no uwsgi in bin.')
        return Path(named)
    folder = (
        Path(__file__).resolve().parents[2]
        / '.tox'
        / (f'keystone-{VERSION}-py{sys.version_info[0]}.{sys.version_info[1]}')
    )
    ready = folder / 'ready'
    if not ready.exists():
        folder.parent.mkdir(exist_ok=True)
        with Path(f'{folder}.lock').open('w') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                _install(folder)
                ready.touch()
    return folder


def _install(folder: Path) -> None:
    for command in (
        [sys.executable, '-m', 'venv', '--clear', str(folder)],
        [
            str(folder / 'bin' / 'python'),
            '-m',
            'pip',
            'install',
            '--quiet',
            '--disable-pip-version-check',
            f'keystone=={VERSION}',
            'pyuwsgi',
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            services.missing(
                f'Keystone {VERSION} could not be installed in {folder}; {VARIABLE} may name an '
                f'environment that has it and pyuwsgi. ({(done.stderr or done.stdout)[-500:]})'
            )


class Keystone:
    """One Keystone process over a folder with its database and keys."""

    def __init__(self, env: Path, folder: Path, expiration: int = 3600) -> None:
        """Describe a process that is started by :meth:`start`.

        :param expiration: how long its tokens are valid, in seconds.
        """
        self.port = free_port()
        self.url = f'http://127.0.0.1:{self.port}'
        self.auth_url = f'{self.url}/v3'
        self._env, self._folder = env, folder
        self._config = folder / f'keystone-{self.port}.conf'
        self._config.write_text(
            '[DEFAULT]\nuse_stderr = true\n'
            f'[database]\nconnection = sqlite:///{folder}/keystone.sqlite\n'
            f'[token]\nprovider = fernet\nexpiration = {expiration}\n'
            f'[fernet_tokens]\nkey_repository = {folder}/fernet\n'
            f'[fernet_receipts]\nkey_repository = {folder}/fernet\n'
            f'[credential]\nkey_repository = {folder}/credential\n'
            '[cache]\nenabled = true\nbackend = dogpile.cache.memory\n'
            '[identity]\npassword_hash_rounds = 4\n'
        )
        self._process: Process | None = None
        self._admin_token: str | None = None

    def manage(self, *args: str) -> None:
        """Run ``keystone-manage``, which must succeed."""
        done = subprocess.run(
            [str(self._env / 'bin' / 'keystone-manage'), '--config-file', str(self._config), *args],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def prepare(self) -> None:
        """Make the database, the keys and the first administrator."""
        for name in ('fernet', 'credential'):
            (self._folder / name).mkdir(mode=0o700)
        self.manage('db_sync')
        with contextlib.closing(sqlite3.connect(self._folder / 'keystone.sqlite')) as database:
            database.execute('PRAGMA journal_mode = WAL')
        for command in ('fernet_setup', 'credential_setup'):
            self.manage(
                command, '--keystone-user', str(os.geteuid()), '--keystone-group', str(os.getegid())
            )
        self.manage(
            'bootstrap',
            '--bootstrap-password',
            PASSWORD,
            '--bootstrap-region-id',
            'here',
            *(
                part
                for kind in ('public', 'internal', 'admin')
                for part in (f'--bootstrap-{kind}-url', self.auth_url)
            ),
        )

    def start(self) -> None:
        """Start the process and wait until it answers."""
        self._process = Process(
            [
                str(self._env / 'bin' / 'uwsgi'),
                '--http-socket',
                f'127.0.0.1:{self.port}',
                '--module',
                'keystone.wsgi.api:application',
                '--master',
                '--die-on-term',
                '--need-app',
                '--buffer-size',
                '65535',
                # it closes each connection, but would not say so, and clients reuse what they have
                '--add-header',
                'Connection: close',
            ],
            self._folder / f'keystone-{self.port}.log',
            {'OS_KEYSTONE_CONFIG_FILES': str(self._config)},
        )
        began = time.monotonic()
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(self.auth_url, timeout=30).status_code == 200:
                    return
            assert self._process.popen.poll() is None, self._process.text()
            assert time.monotonic() - began < 60, self._process.text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End the process, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    @contextlib.contextmanager
    def another(self, expiration: int) -> Iterator[Keystone]:
        """Run one more process over the same users and keys, with other lifetimes of tokens."""
        other = Keystone(self._env, self._folder, expiration)
        other.start()
        try:
            yield other
        finally:
            other.stop()

    def token(self, user: str, scope: Any = 'project') -> str:
        """Return a new token of a user.

        :param scope: ``project`` is the user's own; else what the identity API calls scope.
        """
        identity = {
            'methods': ['password'],
            'password': {
                'user': {
                    'name': user,
                    'domain': {'id': 'default'},
                    'password': PASSWORD,
                }
            },
        }
        return self.sign_in(identity, _own_project(user) if scope == 'project' else scope)

    def sign_in(self, identity: dict[str, Any], scope: Any = None) -> str:
        """Return a new token for any kind of identity (Identity API v3, "Authentication")."""
        auth = {'identity': identity, **({'scope': scope} if scope else {})}
        answer = requests.post(f'{self.auth_url}/auth/tokens', json={'auth': auth}, timeout=30)
        assert answer.status_code == 201, answer.text
        return answer.headers['X-Subject-Token']

    def call(
        self, method: str, path: str, json: Any = None, token: str | None = None, **headers: str
    ) -> Any:
        """Call the identity API, by default as the administrator; return its JSON if any."""
        headers['X-Auth-Token'] = token or self._as_admin()
        answer = requests.request(
            method, self.auth_url + path, json=json, headers=headers, timeout=30
        )
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def _as_admin(self) -> str:
        """Return a token of the administrator, the same each time: to sign in is slow."""
        if self._admin_token is None:
            self._admin_token = self.token('admin')
        return self._admin_token

    def id_of(self, kind: str, name: str) -> str:
        """Return the id of a user, project or role."""
        found: str = self.call('GET', f'/{kind}s?name={name}')[f'{kind}s'][0]['id']
        return found

    def revoke(self, token: str) -> None:
        """Make a token invalid from now on."""
        self.call('DELETE', '/auth/tokens', token=token, **{'X-Subject-Token': token})

    def populate(self) -> None:
        """Make the projects, users and roles of the tests."""
        for name in PROJECTS:
            self.call('POST', '/projects', {'project': {'name': name, 'domain_id': 'default'}})
        self.call('POST', '/roles', {'role': {'name': 'Operator'}})
        for name, project, roles in USERS:
            user = {'name': name, 'domain_id': 'default', 'password': PASSWORD}
            user_id = self.call('POST', '/users', {'user': user})['user']['id']
            project_id = self.id_of('project', project)
            for role in roles:
                role_id = self.id_of('role', role)
                self.call('PUT', f'/projects/{project_id}/users/{user_id}/roles/{role_id}')

    @contextlib.contextmanager
    def listed(self, url: str) -> Iterator[None]:
        """Have the image service in the catalog while the block runs."""
        made = self.call('POST', '/services', {'service': {'type': 'image', 'name': 'glance'}})
        service_id = made['service']['id']
        self.call(
            'POST',
            '/endpoints',
            {
                'endpoint': {
                    'service_id': service_id,
                    'interface': 'public',
                    'region_id': 'here',
                    'url': url,
                }
            },
        )
        try:
            yield
        finally:
            self.call('DELETE', f'/services/{service_id}')

    def authtoken(self, **options: Any) -> str:
        """Return the configuration of a service that asks this Keystone, as Glance's is."""
        lines = {
            'www_authenticate_uri': self.url,
            'auth_url': self.url,
            'auth_type': 'password',
            'project_domain_name': 'Default',
            'user_domain_name': 'Default',
            'project_name': 'service',
            'username': 'glance',
            'password': PASSWORD,
            'service_token_roles_required': 'true',
            **options,
        }
        text = '\n'.join(f'{name} = {value}' for name, value in lines.items())
        return f'[paste_deploy]\nflavor = keystone\n[keystone_authtoken]\n{text}\n'


def _own_project(user: str) -> dict[str, Any]:
    project = {name: project for name, project, _ in USERS}.get(user, 'admin')
    return {'project': {'name': project, 'domain': {'id': 'default'}}}


@contextlib.contextmanager
def keystone(folder: Path) -> Iterator[Keystone]:
    """Run a Keystone with the projects and users of the tests while the block runs."""
    found = Keystone(environment(), folder)
    found.prepare()
    found.start()
    try:
        found.populate()
        yield found
    finally:
        found.stop()


class Caller(Service):
    """A running service as seen with somebody's token, or without one."""

    def __init__(self, api: Service, token: str | None, user: str = '', auth_url: str = '') -> None:
        super().__init__(api.folder, int(api.url.rpartition(':')[2]), api.process)
        self.token = token
        self._user, self._auth_url = user, auth_url

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request with the token."""
        headers = dict(options.pop('headers', {}))
        if self.token is not None:
            headers.setdefault('X-Auth-Token', self.token)
        return super().request(method, path, headers=headers, **options)

    def credentials(self) -> dict[str, str]:
        """Return how the user signs in by password, as openstacksdk names it."""
        return {
            'auth_url': self._auth_url,
            'username': self._user,
            'password': PASSWORD,
            'project_name': str(_own_project(self._user)['project']['name']),
            'user_domain_id': 'default',
            'project_domain_id': 'default',
        }

    def sign_in(self, client: str) -> dict[str, str]:
        """Return the variables by which a client signs in by password; it asks the catalog."""
        return {f'OS_{key.upper()}': value for key, value in self.credentials().items()}
