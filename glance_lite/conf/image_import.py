# SPDX-License-Identifier: Apache-2.0
"""Options of imports: plugins and their order, tasks, conductors, format checks."""

from __future__ import annotations

from oslo_config import cfg

from glance_lite.conf import types

IMAGE_IMPORT_OPTS = [
    cfg.Opt(
        'image_import_plugins',
        type=types.LooseList(),
        default=[],
        sample_default='no_op',
        help='Import plugins in the order in which they run, by their names in the entry point '
        'namespace glance.image_import.plugins. A name that cannot be loaded stops the start.',
    ),
]

IMPORT = [
    cfg.BoolOpt(
        'require_import',
        default=False,
        mutable=True,
        help='Let images become active by an import alone: uploads straight to a store and '
        'locations of data elsewhere, which pass no import plugin, are refused to everybody. '
        'The policy rule upload_image can make exceptions where this is off.',
    ),
    cfg.IntOpt(
        'deadline',
        default=86400,
        min=1,
        mutable=True,
        help='Seconds that one import may take from its request to its end.',
    ),
    cfg.IntOpt(
        'idle_timeout',
        default=600,
        min=1,
        mutable=True,
        help='Seconds that a phase of an import may stand still, without another byte. Then the '
        'import fails with the code stalled. Plugins have plugin_timeout.',
    ),
    cfg.IntOpt(
        'plugin_timeout',
        default=3600,
        min=1,
        mutable=True,
        help='Seconds that an import plugin may work without reporting progress. Then it is left '
        'alone, and the import fails with the code stalled.',
    ),
    cfg.IntOpt(
        'max_per_project',
        default=0,
        min=0,
        mutable=True,
        help='Imports of one project that may run at once, on all conductors together; further '
        'ones wait, and those of other projects pass them. 0: no limit.',
    ),
    cfg.IntOpt(
        'max_unfinished_per_project',
        default=1000,
        min=0,
        mutable=True,
        help='Imports of one project that may wait and run; another is refused until one ends. '
        '0: no limit.',
    ),
    cfg.IntOpt(
        'max_attempts',
        default=5,
        min=1,
        mutable=True,
        help='How often conductors may start or resume an import before it fails.',
    ),
    cfg.IntOpt(
        'staged_ttl',
        default=86400,
        min=1,
        mutable=True,
        help='Seconds that staged data waits for an import, or for another try of a failed one. '
        'Then the image returns to queued.',
    ),
    cfg.IntOpt(
        'orphan_interval',
        default=3600,
        min=0,
        mutable=True,
        help='Seconds between two looks of a conductor for data in the stores that belongs to '
        'nobody. 0: never.',
    ),
    cfg.IntOpt(
        'orphan_grace',
        default=86400,
        min=60,
        mutable=True,
        help='Seconds for which data in a store that belongs to nobody is left alone, and so is a '
        'staged file that is named after no image.',
    ),
    cfg.BoolOpt(
        'trace_plugins',
        default=False,
        mutable=True,
        help='Log each call of a plugin with its arguments, at level DEBUG.',
    ),
]

TASK = [
    cfg.IntOpt(
        'task_time_to_live',
        default=48,
        min=1,
        mutable=True,
        help='Hours that a finished task can still be read.',
    ),
    cfg.StrOpt(
        'swift_scheme',
        default='https',
        choices=['http', 'https'],
        mutable=True,
        help='How swift://host/account/container/object of a task is read from its host.',
    ),
    cfg.StrOpt(
        'swift_path',
        default='v1',
        mutable=True,
        help='The beginning of the paths of the Swift API: swift://host/account/container/object '
        'of a task is read from https://host/v1/account/container/object.',
    ),
    cfg.ListOpt(
        'swift_hosts',
        default=[],
        mutable=True,
        help="Hosts of the cloud's own Swift, as host or host:port. There the service reads "
        "objects of the account of the caller's project with a token of its own, signing in as "
        '[keystone_authtoken] says; its user must be permitted to read them, by a role of Swift or '
        'by the read ACL of the container. Without this, and elsewhere, tasks read only what '
        'everybody may read.',
    ),
    cfg.StrOpt(
        'swift_account_prefix',
        default='AUTH_',
        mutable=True,
        help="What stands before the id of a project in the name of its account of Swift.",
    ),
    cfg.StrOpt(
        'task_executor',
        default='taskflow',
        choices=['taskflow'],
        help='What runs tasks. There is one.',
    ),
]

TASKFLOW_EXECUTOR = [
    cfg.IntOpt(
        'max_workers',
        default=10,
        min=1,
        max=256,
        help='Imports that one conductor runs at once.',
    ),
    cfg.StrOpt(
        'engine_mode',
        default='serial',
        choices=['serial', 'parallel'],
        help="Accepted for Glance's files. The steps of an import run one after another anyhow.",
    ),
]

CONDUCTOR = [
    cfg.FloatOpt(
        'lease',
        default=5.0,
        min=1.0,
        max=300.0,
        help='Seconds after its last sign of life that a conductor keeps its imports. Then '
        'another resumes them.',
    ),
    cfg.FloatOpt(
        'poll_interval',
        default=0.2,
        min=0.01,
        max=60.0,
        help='Seconds between two looks at the job board when idle.',
    ),
    cfg.StrOpt(
        'job_board',
        default='sql',
        choices=[
            ('sql', 'The database of the service; nothing else is needed.'),
            ('redis', "TaskFlow's board on a Redis server."),
            ('etcd', "TaskFlow's board on an etcd server."),
            ('zookeeper', "TaskFlow's board on a ZooKeeper ensemble."),
        ],
        help='What tells conductors that an import waits. The imports themselves are always kept '
        'in the database: another board may be restarted empty, or be away, and loses nothing. '
        'API and conductors must agree.',
    ),
    cfg.StrOpt(
        'board_url',
        secret=True,
        help='Where the board is: redis://[[user]:password@]host[:port][/db], '
        'etcd://host[:port][/path] or zookeeper://host[:port][,host[:port]...][/path], then '
        "?name=value&... with names of TaskFlow's settings, such as ssl=true or "
        'namespace=images. Unset: the usual port of this host.',
    ),
    cfg.FloatOpt(
        'reconcile_interval',
        default=10.0,
        min=1.0,
        max=3600.0,
        help='Seconds, a quarter more or less, between two comparisons of the board with the '
        'database, which post again what waits and is not on the board. Without meaning for '
        'the board sql.',
    ),
]

IMAGE_FORMAT = [
    cfg.Opt(
        'disk_formats',
        type=types.LooseList(),
        default=[
            'ami',
            'ari',
            'aki',
            'vhd',
            'vhdx',
            'vmdk',
            'raw',
            'qcow2',
            'vdi',
            'iso',
            'ploop',
            'gpt',
        ],
        mutable=True,
        help='Disk formats that an image may have.',
    ),
    cfg.Opt(
        'container_formats',
        type=types.LooseList(),
        default=['ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed'],
        mutable=True,
        help='Container formats that an image may have.',
    ),
    cfg.BoolOpt(
        'require_image_format_match',
        default=True,
        mutable=True,
        help='Refuse data whose content is of another format than disk_format says.',
    ),
    cfg.Opt(
        'gpt_safety_checks_nonfatal',
        type=types.LooseList(),
        default=[],
        mutable=True,
        help='Safety checks of GPT partition tables that only warn.',
    ),
    cfg.Opt(
        'vmdk_allowed_types',
        type=types.LooseList(),
        default=['streamOptimized', 'monolithicSparse'],
        mutable=True,
        help='VMDK create types that are accepted. Flat types can name files of the host.',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every group of this module on ``conf``."""
    for group, opts in list_opts():
        conf.register_opts(opts, group=group)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for the sample generator."""
    return [
        ('import', IMPORT),
        ('task', TASK),
        ('taskflow_executor', TASKFLOW_EXECUTOR),
        ('conductor', CONDUCTOR),
        ('image_format', IMAGE_FORMAT),
        ('image_import_opts', IMAGE_IMPORT_OPTS),
    ]
