# SPDX-License-Identifier: Apache-2.0
"""Every answer in the API tests is held to the OpenAPI document, and the document to the answers.

An answer of an operation with a status or a body that the document does not know fails its test at
once. When all API tests have run and passed, a status of the document that none of them saw fails
the run: what is documented happens. Works in the processes of pytest-xdist, too.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from glance_lite.api import routes
from glance_lite.api.openapi import document, model
from glance_lite.api.schemas import images

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / 'doc/source/reference/statuses.rst'
#: The files whose tests together must see every status.
FILES = frozenset(path for room in ('unit/api', 'api') for path in (TESTS / room).glob('test_*.py'))
TABLE = routes.table(import_enabled=True)
#: From method and path to the statuses that are documented, with their meaning.
DOCUMENTED = {
    (method, path): model.statuses(method, path, document.OPERATIONS[method, path])
    for path, handlers in TABLE.items()
    for method in handlers
}
#: Answers that the document is silent about: a version that there is not, a method that there is
#: not, a fault of the service.
OF_NO_OPERATION = frozenset({300, 405, 500, 501})

Seen = set[tuple[str, str, int]]
seen: Seen = set()


def watch(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """Return an application whose answers are noted, and judged."""

    def watched(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ['REQUEST_METHOD'], operation_path(environ.get('PATH_INFO', ''))
        told: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            told.update(status=int(status[:3]), headers=dict(headers))
            return start_response(status, headers, exc_info)

        body = app(environ, start)
        status = told['status']
        switched_off = path in routes.IMPORT_ROUTES and status == 404
        if path is None or (method, path) not in DOCUMENTED or status in OF_NO_OPERATION:
            return body
        if status in DOCUMENTED[method, path] or not switched_off:
            seen.add((method, path, status))
            judge(method, path, status, told['headers'], body)
        return body

    return watched


def operation_path(path: str) -> str | None:
    """Return the template that a path is one of, whichever minor version it names."""
    path = re.sub(r'^/v2\.\d+/', '/v2/', path)
    return next((template for template, found in _patterns() if found.fullmatch(path)), None)


def judge(
    method: str, path: str, status: int, headers: dict[str, str], body: Iterable[bytes]
) -> None:
    """Raise unless the document knows the answer."""
    what = f'{method} {path} {status}'
    assert status in DOCUMENTED[method, path], f'{what} is not in the OpenAPI document'
    answer = document.OPERATIONS[method, path].answers.get(status)
    if answer is not None:
        missing = {*answer.headers} - {*headers}
        assert not missing, f'{what} lacks the headers {missing}'
    kind = headers.get('Content-Type', '').partition(';')[0]
    name = answer.schema if answer is not None else 'Error'
    if status >= 400 and kind == 'text/plain':
        return
    if name is None:
        assert kind == (answer.media_type if answer and answer.media_type else ''), what
        return
    assert kind == model.JSON, f'{what} has the content type {kind}'
    if isinstance(body, list):
        fault = jsonschema.exceptions.best_match(
            _validator(name).iter_errors(json.loads(b''.join(body)))
        )
        assert fault is None, f'{what}: {fault.json_path if fault else ""} {fault}'


def unseen() -> list[str]:
    """Return what is documented and was not seen, as method, path and status."""
    return sorted(
        f'{method} {path} {status}'
        for (method, path), statuses in DOCUMENTED.items()
        for status in statuses
        if (method, path, status) not in seen
    )


@functools.cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    return [(path, re.compile(re.sub(r'{\w+}', '[^/]+', path))) for path in TABLE]


@functools.cache
def _validator(name: str) -> Any:
    # a test may configure other formats
    built = document.build(TABLE, images.image_schema((), ()))['components']
    for field in ('disk_format', 'container_format'):
        del built['schemas']['Image']['properties'][field]['enum']
    schema = {'$ref': f'#/components/schemas/{name}', 'components': built}
    return jsonschema.Draft202012Validator(schema)


class Plugin:
    """Judges a whole run; see the module."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._whole = False
        self._missing: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Find out whether every API test is going to run."""
        option = self._config.option
        narrowed = (
            option.keyword
            or option.markexpr
            or getattr(option, 'lf', False)
            or '::' in str(self._config.args)
        )
        self._whole = not narrowed and {item.path for item in session.items} >= FILES

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail a run that is good but for what nobody saw."""
        if hasattr(self._config, 'workeroutput'):
            self._config.workeroutput['contract'] = (self._whole, sorted(seen))
        elif self._whole and exitstatus == pytest.ExitCode.OK:
            self._missing = unseen()
            if self._missing:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add what a process of pytest-xdist saw."""
        whole, found = getattr(node, 'workeroutput', {}).get('contract', (False, []))
        self._whole = self._whole or whole
        seen.update((method, path, status) for method, path, status in found)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Name what nobody saw."""
        if self._missing:
            terminalreporter.section('documented statuses that no test saw', red=True)
            for line in self._missing:
                terminalreporter.line(line)


def render() -> str:
    """Return the page of the documentation."""
    lines = [_INTRODUCTION]
    lines += [f'   * - {status}\n     - {what}' for status, what in model.EVERYWHERE.items()]
    lines.append(_TABLE)
    for (method, path), statuses in DOCUMENTED.items():
        rest = [status for status in statuses if status not in model.EVERYWHERE]
        cells = [
            f'{method} {path}',
            ' '.join(str(status) for status in rest if status < 400),
            ' '.join(str(status) for status in rest if status >= 400),
        ]
        lines.append('   * - ' + '\n     - '.join(cells))
    return '\n'.join(line.rstrip() for line in '\n'.join(lines).splitlines()) + '\n'


_INTRODUCTION = """\
========
Statuses
========

.. Written by python -m tests.contract; the tests see every status of these tables.

Which statuses each call answers. What each of them means for a call is in
``GET /v2/openapi.json``; the bodies of errors, and their codes, are on the page :doc:`error-codes`.

Every call but those for versions and health may answer one of these:

.. list-table::
   :widths: 10 90
"""
_TABLE = """
Beside them a method that a path does not have is 405, a method that nothing has 501, and a fault of
the service itself 500.

.. list-table::
   :header-rows: 1
   :widths: 60 15 25

   * - call
     - success
     - errors"""


if __name__ == '__main__':
    PAGE.write_text(render())
