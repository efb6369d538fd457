# SPDX-License-Identifier: Apache-2.0
"""``glance-lite-manage config`` and ``uri``: check the files, explain an option, judge a URL."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import json
import re
from collections.abc import Callable
from typing import Any

from oslo_config import cfg

from glance_lite import configuration, exceptions

_MARKS = ('good', 'doubtful', 'bad')


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to the program."""
    parser = commands.add_parser(
        'config',
        help='check the configuration, explain an option',
        description='Check the configuration, or explain one option of it.',
    )
    actions = parser.add_subparsers(required=True, metavar='ACTION', title='actions')
    action = actions.add_parser(
        'check',
        help='look at every file and part, and at parts that defeat each other',
        description='Look at every file and part, and at parts that defeat each other. The '
        'database is not needed. Exit 0: all is good; 1: look at what is doubtful; 2: something '
        'is bad, and the service would not start.',
    )
    action.add_argument('--json', action='store_true', help='print a JSON document')
    action.set_defaults(run=check_config)
    action = actions.add_parser(
        'explain',
        help='tell the value of an option, where it comes from and when a change takes effect',
        description='Tell the value of an option, the file and line that it comes from, its '
        'default and when a change takes effect.',
    )
    action.add_argument(
        'option', metavar='OPTION', help="name, group.name or '[group] name' of the option"
    )
    action.add_argument('--json', action='store_true', help='print a JSON document')
    action.set_defaults(run=explain_option)
    parser = commands.add_parser(
        'uri',
        help='tell whether a URL may be imported from, and why',
        description='Tell whether a URL may be imported from, and why.',
    )
    actions = parser.add_subparsers(required=True, metavar='ACTION', title='actions')
    action = actions.add_parser(
        'check',
        help='judge a URL and each address of its host',
        description='Judge a URL by the import filter, and each address that its host has here and '
        'now. Exit 0 if it is permitted, 1 if it is refused. The user of a service is told less: '
        'no address.',
    )
    action.add_argument('url', metavar='URL', help='as in the body of an import')
    action.add_argument(
        '--fetch',
        action='store_true',
        help='ask the source, follow its redirects and judge each; no data is read',
    )
    action.add_argument('--json', action='store_true', help='print a JSON document')
    action.set_defaults(run=check_uri)


def check_config(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Run every check and print the findings."""
    from glance_lite import deploy
    from glance_lite.maintenance import checks, config_checks

    deploy.register_opts(conf)
    parts: dict[str, Callable[[cfg.ConfigOpts], checks.Finding]] = {
        'Import plugins': config_checks.check_plugins,  # first: they register options
        'Notifications': _check_notifications,
        'Options': check_options,
        'Staging area': checks.check_staging,
        'Staging space': config_checks.check_space,
        'Stores': checks.check_stores,
        'Import filter': config_checks.check_filter,
        'Policy file': checks.check_policy,
        'Policy rules': config_checks.check_rules,
        'Property protections': config_checks.check_protection,
        'Image properties': config_checks.check_properties,
        'Limits': config_checks.check_limits,
    }
    found = {}
    for name, check in parts.items():
        try:
            found[name] = check(conf)
        except exceptions.ConfigError as error:
            found[name] = checks.Finding(checks.BAD, str(error))
    worst = max(finding.state for finding in found.values())
    if args.json:
        _print_json(
            {
                'files': list(conf.config_file or []),
                'state': _MARKS[worst],
                'checks': [
                    {'check': name, 'state': _MARKS[each.state], 'details': each.sentence}
                    for name, each in found.items()
                ],
            }
        )
        return worst
    print(f'files: {", ".join(conf.config_file or []) or "none"}')
    width = max(map(len, found))
    for name, each in found.items():
        print(f'{_MARKS[each.state]:<8}  {name:<{width}}  {each.sentence}')
    return worst


def _check_notifications(conf: cfg.ConfigOpts) -> Any:
    """Tell whether notifications can be sent, as far as that is known without a broker."""
    from glance_lite import notifications
    from glance_lite.maintenance.checks import GOOD, Finding

    notifications.notifier_for(conf).close(0)
    return Finding(GOOD, 'The drivers of [oslo_messaging_notifications] are there.')


def check_options(conf: cfg.ConfigOpts) -> Any:
    """Tell whether the files have options that nothing reads, or that will go."""
    from glance_lite.maintenance.checks import DOUBTFUL, GOOD, Finding

    sentences = [*configuration.find_deprecated(conf), *configuration.find_unknown(conf)]
    if sentences:
        return Finding(DOUBTFUL, ' '.join(sentences))
    return Finding(GOOD, 'All options of the files are read.')


@dataclasses.dataclass(frozen=True)
class Explanation:
    """All about one option. ``source`` tells where its value comes from."""

    group: str
    name: str
    value: Any
    default: Any
    source: str
    takes_effect: str
    help: str


def explain(conf: cfg.ConfigOpts, words: str) -> Explanation:
    """Return all about an option, named ``name``, ``group.name`` or ``[group] name``.

    :raises NotFound: there is no such option, or several groups have one of this name.
    """
    options = {(group or 'DEFAULT', opt.dest): opt for opt, group, _ in configuration.options(conf)}
    group, name = _find(options, words)
    opt = options[group, name]
    in_group = None if group == 'DEFAULT' else group
    value = conf[name] if in_group is None else conf[in_group][name]
    location = conf.get_location(name, in_group)
    source = 'the default; no file sets it'
    if location is not None and location.location == cfg.Locations.user:
        source = _line(location.detail, group, opt)
    elif location is not None and location.location == cfg.Locations.environment:
        source = f'the environment variable {location.detail}'
    elif location is not None and location.location == cfg.Locations.command_line:
        source = 'the command line'
    return Explanation(
        group,
        name,
        '***' if opt.secret and value is not None else value,
        '***' if opt.secret and opt.default is not None else opt.default,
        source,
        'at SIGHUP (a reload)' if opt.mutable else 'at the next start',
        ' '.join((opt.help or '').split()),
    )


def _find(options: dict[tuple[str, str], cfg.Opt], words: str) -> tuple[str, str]:
    match = re.fullmatch(r'\[([^\]]+)\]\s*(\S+)', words.strip())
    if match:
        found = [key for key in options if key == (match[1], match[2])]
    else:
        group, _, name = words.strip().rpartition('.')
        found = [key for key in options if key[1] == name and group in ('', key[0])]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ', '.join(f'{group}.{name}' for group, name in sorted(found))
        raise exceptions.NotFound(f'Several groups have such an option: {shown}.')
    known = {f'{group}.{name}' for group, name in options} | {name for _, name in options}
    close = difflib.get_close_matches(words.strip(), sorted(known), 1)
    hint = f' Did you mean {close[0]}?' if close else ''
    raise exceptions.NotFound(f"There is no option '{words}'.{hint}")


def _line(path: str, group: str, opt: cfg.Opt) -> str:
    """Return the file and the line of an option: the last one of its section counts."""
    names = {opt.dest, opt.name, *(each.name for each in opt.deprecated_opts if each.name)}
    section, number = 'DEFAULT', None
    with open(path, encoding='utf-8', errors='replace') as file:
        for place, line in enumerate(file, start=1):
            header = re.match(r'\s*\[([^\]]+)\]', line)
            if header:
                section = header[1]
            written = re.match(r'([^\s=:#;]+)\s*[=:]', line)
            if written and section.lower() == group.lower() and written[1] in names:
                number = place
    return path if number is None else f'{path}, line {number}'


def explain_option(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print all about an option, those of the enabled plugins included."""
    from glance_lite import deploy
    from glance_lite.plugin import loader

    deploy.register_opts(conf)
    loader.load_plugins(conf)
    found = explain(conf, args.option)
    if args.json:
        print(json.dumps(dataclasses.asdict(found), indent=2, default=str))
        return 0
    print(f'[{found.group}] {found.name} = {_written(found.value)}')
    print(f'from      {found.source}')
    print(f'default   {_written(found.default)}')
    print(f'changes   take effect {found.takes_effect}')
    if found.help:
        print(f'meaning   {found.help}')
    return 0


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ', '.join(map(str, value))
    return '(not set)' if value is None else str(value)


def check_uri(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print what the filter says of a URL, its addresses and redirects."""
    from glance_lite.remote.options import HttpOptions
    from glance_lite.remote.url_filter import UrlFilter

    rules, options = UrlFilter.from_conf(conf), HttpOptions.from_conf(conf)
    hops: list[dict[str, Any]] = []
    refusal: str | None = None
    try:
        checked = rules.check_url(args.url)
        if args.fetch:
            _fetch(rules, options, args.url, hops)
        else:
            hops.append(_judge(rules, options, checked))
        refusal = next((hop['refused'] for hop in hops if hop['refused']), None)
    except exceptions.ImportFailed as error:
        refusal = error.message
    if args.json:
        _print_json({'permitted': refusal is None, 'reason': refusal, 'hops': hops})
    else:
        for hop in hops:
            print(hop['url'])
            for each in hop['addresses']:
                print(f'  {each["address"]}: {each["verdict"]}, {each["reason"]}')
            if hop['note']:
                print(f'  {hop["note"]}')
        print('Permitted.' if refusal is None else refusal)
    return 0 if refusal is None else 1


def _judge(rules: Any, options: Any, checked: Any) -> dict[str, Any]:
    """Return what the filter says of the addresses of a URL that may be asked as it is written."""
    from glance_lite.remote import resolver
    from glance_lite.remote.url_filter import UrlRefused

    hop: dict[str, Any] = {'url': checked.masked, 'addresses': [], 'note': None, 'refused': None}
    proxy = options.proxy_for(checked)
    if proxy is not None:
        hop['note'] = f'It is fetched through the proxy {proxy.masked}.'
    try:
        found = (
            [checked.address]
            if checked.address is not None
            else rules.resolve(checked.host, rules.resolve_timeout_seconds, lambda: None)
        )
    except resolver.NameNotResolved:
        if proxy is None:
            hop['refused'] = (
                f'The URI {checked.masked} is refused: its host {checked.host} cannot be resolved.'
            )
        return hop
    for address in found:
        try:
            verdict, reason = 'permitted', rules.judge_address(checked, address)
        except UrlRefused as error:
            verdict, reason = 'refused', error.reason
            hop['refused'] = hop['refused'] or error.message
        hop['addresses'].append({'address': str(address), 'verdict': verdict, 'reason': reason})
    return hop


def _fetch(rules: Any, options: Any, url: str, hops: list[dict[str, Any]]) -> None:
    """Ask for a URL and its redirects; add what is said of each.

    :raises ImportFailed: the source, or one to which it redirects, is refused or fails.
    """
    from glance_lite.remote import exchange

    client = exchange.Client(
        rules,
        options,
        lambda: None,
        lambda checked: hops.append(_judge(rules, options, checked)),
    )
    headers = {'Accept': '*/*', 'Accept-Encoding': 'identity', 'User-Agent': options.user_agent}
    answer = exchange.get(client, url, headers, {})
    answer.close()
    hops[-1]['note'] = f'The source answers with status {answer.status}.'


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))
