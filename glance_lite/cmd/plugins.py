# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-plugins``: look at import plugins, check them, try one, begin a new one.

Exit status: 0 all is well, 1 something is not, 2 the command line or the configuration was wrong.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from glance_lite import __version__, configuration, exceptions
from glance_lite.client import text
from glance_lite.plugin import settings

_PROGRAM = 'glance-lite-plugins'
_INTERRUPTED = 130

_HELP = {
    'new': 'write the distribution of a new plugin, which passes its own tests',
    'list': 'show the plugins in their order, with all that is known of them',
    'check': 'load all enabled plugins and compile the flow of every method, as a start would',
    'run': 'run one plugin on a file, and show what it would change',
    'graph': 'draw the flow of an import',
}


def main(argv: Sequence[str] | None = None, conf: cfg.ConfigOpts | None = None) -> int:
    """Run one command and return the exit status."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.debug else logging.CRITICAL,
        format='%(levelname)s %(name)s %(message)s',
    )
    conf = cfg.CONF if conf is None else conf
    try:
        if args.command != 'new':
            files = [word for path in args.config_file for word in ('--config-file', path)]
            configuration.load(conf, files, prog=_PROGRAM)
        return _COMMANDS[args.command](conf, args)
    except (exceptions.ConfigError, exceptions.InvalidRequest) as error:
        return _complain(error, 2)
    except exceptions.GlanceLiteError as error:
        return _complain(error, 1)
    except OSError as error:
        return _complain(f'{error.filename or "a file"}: {error.strerror}', 1)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _complain(error: object, status: int) -> int:
    print(f'{_PROGRAM}: {error}', file=sys.stderr)
    return status


def new(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Write a distribution and tell what to do with it."""
    from glance_lite.plugin import loader
    from glance_lite.testing import new_plugin

    folder = Path(args.directory or f'glance-lite-{args.name.replace("_", "-")}')
    for path in new_plugin.write(args.name, folder, loader.list_installed()):
        print(f'wrote {path}')
    print(
        f"\nNow:\n  pip install -e '{folder}[test]'\n  pytest {folder}\n"
        f'  {_PROGRAM} run {args.name} FILE'
    )
    return 0


def list_plugins(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print what is known of each plugin."""
    from glance_lite.plugin import loader
    from glance_lite.testing import survey

    plugins = survey.load(conf)
    flow = next(iter(survey.flows(plugins).values()))
    conflicts = loader.find_conflicts(plugins)
    enabled = [_facts(conf, plugins, name, flow) for name in plugins.names]
    others = [
        {
            'name': name,
            'distribution': points[0].dist.name if points[0].dist else None,
            'version': points[0].dist.version if points[0].dist else None,
            'entry_point': points[0].value,
        }
        for name, points in loader.list_installed().items()
        if name not in plugins.names
    ]
    if args.json:
        document = {'enabled': enabled, 'installed': others, 'conflicts': conflicts}
        print(json.dumps(document, indent=2, default=str))
        return 0
    for facts in enabled:
        print(_block(facts))
    if not enabled:
        print('No plugin is enabled: image_import_plugins of [image_import_opts] is empty.\n')
    if others:
        print('Installed, not enabled:')
        for each in others:
            print(f'  {each["name"]}  {each["distribution"]} {each["version"]}')
    for sentence in conflicts:
        print(f'Conflict: {sentence}')
    return 0


def _facts(conf: cfg.ConfigOpts, plugins: Any, name: str, flow: list[Any]) -> dict[str, Any]:
    """Return what is known of an enabled plugin as JSON data."""
    about = plugins.about(name)
    steps = [each for each in flow if each.plugin == name and not each.name.startswith('keep-path')]
    first = flow.index(steps[0])
    provided = {value for each in steps for value in each.provides}
    section = conf[settings.PREFIX + name]
    return {
        'order': plugins.names.index(name) + 1,
        'name': name,
        'distribution': about.distribution,
        'version': about.version,
        'entry_point': about.target,
        'steps': [each.name for each in steps],
        'position': first + 1,
        'runs_behind': flow[first - 1].name,
        'requires': sorted({value for each in steps for value in each.requires}),
        'provides': sorted(provided),
        'runs_after': list(about.runs_after),
        'settings': {each.dest: section[each.dest] for each in settings.OPTS},
        'options': [
            {
                'group': group,
                'name': opt.name,
                'value': '***' if opt.secret else conf[group][opt.dest],
                'default': opt.default,
                'help': opt.help,
            }
            for group, opt in about.options
        ],
    }


def _block(facts: dict[str, Any]) -> str:
    chosen = facts['settings']
    lines = [
        ('from', f'{facts["distribution"]} {facts["version"]}, {facts["entry_point"]}'),
        (
            'runs',
            f'{", ".join(facts["steps"])} (step {facts["position"]} of the flow, '
            f'behind {facts["runs_behind"]})',
        ),
        ('requires', ', '.join(facts['requires']) or 'nothing'),
        ('provides', ', '.join(facts['provides']) or 'nothing'),
        ('when', chosen['when'] or 'always'),
        ('timeout', f'{chosen["timeout"]} s' if chosen['timeout'] else 'while it reports progress'),
        ('on error', chosen['on_error']),
        *(
            [('isolated', f'with {chosen["isolated_memory"]} MiB of memory')]
            if chosen['isolated']
            else []
        ),
    ]
    for number, option in enumerate(facts['options']):
        value = f'[{option["group"]}] {option["name"]} = {option["value"]}'
        changed = '' if option['value'] == option['default'] else f' (default: {option["default"]})'
        lines.append(('options' if number == 0 else '', value + changed))
    head = f'{facts["order"]}. {facts["name"]}\n'
    return head + ''.join(f'   {name:<9} {value}\n' for name, value in lines)


def check(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Load everything and compile every flow."""
    from taskflow import exceptions as taskflow_exceptions

    from glance_lite.plugin import loader
    from glance_lite.testing import survey

    plugins = survey.load(conf)
    for sentence in configuration.find_unknown(conf):
        print(f'warning: {sentence}')
    print(f'plugins: {", ".join(plugins.names) or "none"}')
    try:
        found = survey.flows(plugins)
    except taskflow_exceptions.TaskFlowException as error:
        return _complain(f'the flow cannot be compiled: {error}', 1)
    for method, steps in found.items():
        print(f'{method}: {len(steps)} steps, compiled')
    conflicts = loader.find_conflicts(plugins)
    for sentence in conflicts:
        print(f'conflict: {sentence}')
    print('All is well.' if not conflicts else 'Change the order in image_import_plugins.')
    return 1 if conflicts else 0


def run(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Run one plugin on a file, and print what came of it."""
    from glance_lite.testing import survey

    file = Path(args.file)
    survey.require_readable(file)
    outcome, changes = survey.try_file(
        conf,
        args.plugin,
        file,
        roles=args.role or ['member'],
        output=None if args.output is None else Path(args.output),
        disk_format=args.disk_format,
        container_format=args.container_format,
        name=args.name or file.name,
        properties=dict(args.property),
    )
    error = outcome.task.error
    receipts = outcome.task.receipts or []
    if args.json:
        document = {
            'receipts': receipts,
            'error': None if error is None else {key: error[key] for key in ('code', 'message')},
            'changes': [vars(each) for each in changes],
        }
        print(json.dumps(document, indent=2))
        return 0 if error is None else 1
    for receipt in receipts:
        note = f': {receipt["note"]}' if receipt['note'] else ''
        print(f'{receipt["plugin"]} {receipt["outcome"]} in {text.span(receipt["seconds"])}{note}')
    for each in changes:
        print(text.clean(f'{each.what}: {_value(each.before)} -> {_value(each.after)}'))
    if error is None and not changes:
        print('It changes nothing.')
    if error is not None:
        print(f'The import fails with {error["code"]}. {text.clean(error["message"])}')
    return 0 if error is None else 1


def _value(value: Any) -> str:
    return 'none' if value is None else str(value)


def graph(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Draw the flow of one method."""
    from glance_lite.testing import survey

    steps = survey.flows(survey.load(conf))[args.method]
    drawn = survey.svg(steps) if args.format == 'svg' else survey.dot(steps)
    if args.output is None:
        sys.stdout.write(drawn)
    else:
        Path(args.output).write_text(drawn)
    return 0


_COMMANDS: dict[str, Callable[[cfg.ConfigOpts, argparse.Namespace], int]] = {
    'new': new,
    'list': list_plugins,
    'check': check,
    'run': run,
    'graph': graph,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description='Look at the import plugins of an image service, check them, try one, begin a '
        'new one. Reads the configuration and changes nothing of the service, which may run or '
        'not.',
        epilog=f'"{_PROGRAM} COMMAND --help" tells more.',
    )
    parser.add_argument(
        '--config-file',
        action='append',
        default=[],
        metavar='FILE',
        help='read this configuration file; may be given several times (default: '
        'glance-api.conf and glance-image-import.conf, where the service looks for them)',
    )
    parser.add_argument('-d', '--debug', action='store_true', help='log on standard error')
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(
        required=True, metavar='COMMAND', title='commands', dest='command'
    )
    added = {
        name: commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + '.')
        for name, words in _HELP.items()
    }
    _add_new(added['new'])
    _add_run(added['run'])
    _add_graph(added['graph'])
    added['list'].add_argument('--json', action='store_true', help='print a JSON document')
    return parser


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', metavar='NAME', help='name of the plugin, such as size_limit')
    parser.add_argument(
        '--directory', metavar='DIRECTORY', help='a new folder (default: glance-lite-NAME here)'
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.description += (
        ' The file is imported in a service of its own, which is gone afterwards; the plugin has '
        'the options of the configuration, and need not be enabled. Exit 1 if the import fails.'
    )
    parser.add_argument('plugin', metavar='PLUGIN', help='name of an installed plugin')
    parser.add_argument('file', metavar='FILE', help='the image data; it is left as it is')
    parser.add_argument(
        '--disk-format', default='qcow2', help='of the image (default: %(default)s)'
    )
    parser.add_argument(
        '--container-format', default='bare', help='of the image (default: %(default)s)'
    )
    parser.add_argument('--name', help='of the image (default: that of the file)')
    parser.add_argument(
        '--property',
        action='append',
        default=[],
        type=_pair,
        metavar='NAME=VALUE',
        help='a property of the image; may be given several times',
    )
    parser.add_argument(
        '--role',
        action='append',
        metavar='ROLE',
        help='a role of the importing user; may be given several times (default: member)',
    )
    parser.add_argument('--output', metavar='FILE', help='write the data here that is left by it')
    parser.add_argument('--json', action='store_true', help='print a JSON document')


def _add_graph(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--method',
        choices=('glance-direct', 'web-download'),
        default='glance-direct',
        help='import method (default: %(default)s)',
    )
    parser.add_argument(
        '--format',
        choices=('dot', 'svg'),
        default='dot',
        help='the language of Graphviz, or a picture (default: %(default)s)',
    )
    parser.add_argument('--output', metavar='FILE', help='write it here (default: print it)')


def _pair(written: str) -> tuple[str, str]:
    name, sign, value = written.partition('=')
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"'{written}' is not NAME=VALUE")
    return name, value


if __name__ == '__main__':
    sys.exit(main())
