# SPDX-License-Identifier: Apache-2.0
"""The documentation knows what the code offers: routes, error codes, options, rules and steps.

What it says to authors of plugins is in ``plugin/test_reference.py``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config import cfg

from glance_lite import configuration, exceptions, policies
from glance_lite.api import errors, routes
from glance_lite.image_import import methods
from glance_lite.stores import filesystem, memory

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / 'doc/source'
STEPS = ROOT / 'glance_lite/image_import/steps'
#: What the samples, and the pages made from them, are generated from.
NAMESPACES = 'etc/oslo-config-generator'


def page(name: str) -> str:
    return (DOC / name).read_text()


def words(text: str) -> str:
    """Return the text with every run of white space as one blank."""
    return ' '.join(text.split())


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of all list tables of a page."""
    rows = []
    for row in re.split(r'\n   \* - ', text)[1:]:
        cells = re.split(r'\n     - ?', row.split('\n\n')[0])
        rows.append([words(cell) for cell in cells])
    return rows


# Routes

ROUTES = [
    (method, path)
    for path, handlers in routes.table(import_enabled=True).items()
    for method in handlers
]
OUTSIDE_THE_TABLE = [('GET', '/'), ('GET', '/versions'), ('GET', '/healthcheck')]


@pytest.mark.parametrize(('method', 'path'), ROUTES + OUTSIDE_THE_TABLE)
def test_a_route_has_a_section(method: str, path: str) -> None:
    assert re.search(rf'^{method} {re.escape(path)}\n-+$', page('reference/api.rst'), re.MULTILINE)


def test_no_section_describes_a_route_that_is_not_there() -> None:
    described = re.findall(
        r'^(GET|PUT|POST|PATCH|DELETE) (/\S*)\n-+$', page('reference/api.rst'), re.MULTILINE
    )
    assert sorted(described) == sorted(ROUTES + OUTSIDE_THE_TABLE)


@pytest.mark.parametrize('name', methods.METHODS)
def test_an_import_method_is_described(name: str) -> None:
    assert f'\n``{name}``\n    ' in page('reference/api.rst')


# Error codes


def test_the_codes_of_imports_are_those_of_the_table() -> None:
    text = page('reference/error-codes.rst').split('\nHTTP\n====')[0]
    expected = [
        [f'``{code}``', kind.meaning, _yes(kind.refused), _yes(kind.retryable)]
        for code, kind in exceptions.IMPORT_ERRORS.items()
    ]
    assert table_rows(text)[1:] == expected


def _yes(value: bool) -> str:
    return 'yes' if value else 'no'


def http_codes() -> set[tuple[str, str]]:
    """Return each status and code that the API can answer with."""
    found = {('500', 'internal_error')}
    for kind in _subclasses(exceptions.GlanceLiteError):
        if issubclass(kind, exceptions.ImportFailed):
            continue
        error = kind.__new__(kind)
        exceptions.GlanceLiteError.__init__(error, '')
        error.allowed = error.accepted = []  # type: ignore[attr-defined]
        error.size = 0  # type: ignore[attr-defined]
        answer = errors.describe(error)
        if answer is not None:
            found.add((str(answer.status), answer.code))
    for code in errors.CONTENT_CODES:
        answer = errors.describe(exceptions.ImportFailed(code, ''))
        assert answer is not None
        found.add((str(answer.status), code))
    return found


def _subclasses(kind: type[exceptions.GlanceLiteError]) -> Iterator[type]:
    for each in kind.__subclasses__():
        if each.__module__.startswith('glance_lite.'):
            yield each
            yield from _subclasses(each)


def test_the_codes_of_http_are_those_of_the_table() -> None:
    text = page('reference/error-codes.rst').split('\nHTTP\n====')[1]
    rows = {(status, code.strip('`')) for status, code, _ in table_rows(text)[1:]}
    assert rows - {('400', 'a code of imports')} == http_codes()


# Options


def options_shown() -> set[tuple[str, str]]:
    """Return group and name of each option of ours that the reference and the samples show."""
    return {
        (group or 'DEFAULT', opt.name)
        for group, opts in configuration.list_api_opts() + configuration.list_import_opts()
        for opt in opts
    }


def test_every_option_is_shown() -> None:
    conf = cfg.ConfigOpts()
    configuration.register_all(conf)
    registered = {('DEFAULT', name) for name in conf if name not in conf._groups}
    registered |= {(group, name) for group in conf._groups for name in conf[group]}
    from_oslo_log = {('DEFAULT', opt.name.replace('-', '_')) for opt in _logging_options()}
    own = {
        (group, name)
        for group, name in registered - from_oslo_log
        if group != 'database'
        and name not in ('config_file', 'config_dir', 'config_source', 'shell_completion')
    }
    assert own <= options_shown()


def _logging_options() -> list[cfg.Opt]:
    from oslo_log import _options

    return [opt for _, opts in _options.list_opts() for opt in opts]


def test_the_options_shown_of_the_database_are_those_that_are_read() -> None:
    source = (ROOT / 'glance_lite/db/connecting.py').read_text()
    read = set(re.findall(r'\bgroup\.([a-z_]+)', source))
    assert read == set(configuration.DATABASE_OPTIONS)


def test_the_options_of_a_store_are_described() -> None:
    text = page('reference/options.rst')
    shown = {name for group, name in options_shown() if group == 'glance_store'}
    for opt in filesystem.FileStore.list_opts():
        assert opt.name in shown
    for opt in memory.MemoryStore.list_opts():
        assert f'``{opt.name}``' in text
        assert opt.name in shown or not opt.default or str(opt.default) in text


def test_the_reference_shows_all_that_the_samples_show() -> None:
    text = page('reference/options.rst')
    shown = re.findall(r'^   ([a-z_.]+)$', text, re.MULTILINE)
    sampled = re.findall(
        r'^namespace = (\S+)$',
        ''.join(
            (ROOT / NAMESPACES / f'{name}.conf').read_text()
            for name in ('glance-api', 'glance-image-import')
        ),
        re.MULTILINE,
    )
    assert sorted(shown) == sorted(sampled)


@pytest.mark.parametrize('group', sorted({group for group, _ in options_shown()}))
def test_a_group_is_introduced(group: str) -> None:
    assert f':oslo.config:group:`{group}`' in page('admin/configuration.rst')


def test_the_options_that_are_read_again_are_those_of_the_table() -> None:
    text = page('admin/configuration.rst').split('Options that are read again')[1]
    rows = [row for row in table_rows(text) if len(row) == 2][1:]
    told = {
        (group.strip('`[]'), name)
        for group, names in rows
        for name in re.findall(r'``(\w+)``', names)
    }
    whole = {group.strip('`[]') for group, names in rows if names == 'all'}
    offered = [*configuration.list_api_opts(), *configuration.list_import_opts()]
    offered.append(('DEFAULT', _logging_options()))
    marked = {
        (group or 'DEFAULT', opt.dest) for group, opts in offered for opt in opts if opt.mutable
    }
    assert {pair for pair in marked if pair[0] not in whole} == told
    assert {group for group, opts in offered if all(opt.mutable for opt in opts)} == whole


# Policies


def test_the_reference_shows_the_policies() -> None:
    text = page('reference/policies.rst')
    assert f':config-file: ../../{NAMESPACES}/policy.conf' in text
    assert 'namespace = glance_lite' in (ROOT / NAMESPACES / 'policy.conf').read_text()


@pytest.mark.parametrize('rule', policies.list_rules(), ids=lambda rule: rule.name)
def test_a_rule_says_what_it_is_for(rule: object) -> None:
    assert getattr(rule, 'description', None)
    for operation in getattr(rule, 'operations', []):
        method, path = operation['method'], operation['path']
        assert (method, path) in ROUTES, f'no route {method} {path}'


# Steps


def step_names() -> Iterator[str]:
    """Yield the names in ``super().__init__('name', ...)`` of each step, cut before a variable."""
    for path in sorted(STEPS.glob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == '__init__'
                and node.args
            ):
                continue
            name = node.args[0]
            if isinstance(name, ast.JoinedStr):
                name = name.values[0]
            if isinstance(name, ast.Constant):
                yield str(name.value)


def test_every_step_is_described_with_what_undoes_it() -> None:
    rows = table_rows(page('reference/steps.rst'))[1:]
    described = {re.sub(r'<.*', '', name.strip('`')) for name, _, _ in rows}
    assert described == {*step_names(), 'run-plugin:'}
    assert all(does and undo for _, does, undo in rows)


# Rooms


@pytest.mark.parametrize(
    'room',
    [
        path.name + ('/' if path.is_dir() else '')
        for path in sorted((ROOT / 'glance_lite').iterdir())
        if not path.name.startswith('__')
    ],
)
def test_a_room_is_on_the_plan(room: str) -> None:
    assert f'``{room}``' in page('contributor/architecture.rst')


# All pages


def pages() -> list[Path]:
    return sorted(DOC.rglob('*.rst'))


@pytest.mark.parametrize('path', pages(), ids=lambda path: str(path.relative_to(DOC)))
def test_a_page_names_only_options_that_there_are(path: Path) -> None:
    """``[group] option`` in a page must be an option that some sample shows."""
    sections: dict[str, set[str]] = {}
    for sample in ('glance-api', 'glance-image-import'):
        section = ''
        for line in (ROOT / f'etc/{sample}.conf.sample').read_text().splitlines():
            if line.startswith('['):
                section = line.strip('[]')
            elif match := re.match(r'#([a-z0-9_]+) = ?', line):
                sections.setdefault(section, set()).add(match[1])
    for group, option in re.findall(r'``\[([a-z_A-Z]+)\] ([a-z_]+)', path.read_text()):
        assert option in sections.get(group, set()), f'[{group}] {option}'


# Security


def test_the_rows_of_security_are_those_with_a_test() -> None:
    rows = table_rows(page('contributor/security.rst'))[1:]
    tests = ''.join(
        (ROOT / f'tests/unit/api/test_security_{name}.py').read_text()
        for name in ('access', 'content', 'data')
    )
    tested = {f'F-{row}' for row in re.findall(r'^def test_f(\w+?)_', tests, re.MULTILINE)}
    assert {row for row, _, _ in rows} == tested
    assert [row for row, _, _ in rows] == sorted(row for row, _, _ in rows)
