# SPDX-License-Identifier: Apache-2.0
"""Options of ``[DEFAULT]``: listening, identity, limits, stores and staging."""

from __future__ import annotations

from oslo_config import cfg
from oslo_config import types as cfg_types

from glance_lite.conf import types

OPTS = [
    cfg.HostAddressOpt(
        'bind_host',
        default='127.0.0.1',
        help='Address to listen on. Without Keystone anything but a loopback address is refused '
        'unless [api] allow_unauthenticated_network is set.',
    ),
    cfg.PortOpt('bind_port', default=9292, help='TCP port to listen on.'),
    cfg.IntOpt(
        'workers',
        min=1,
        max=64,
        help='API worker processes. Unset: one for each processor, four at most.',
    ),
    cfg.IntOpt('backlog', default=4096, min=1, help='Connections that may wait to be accepted.'),
    cfg.IntOpt(
        'client_socket_timeout',
        default=900,
        min=1,
        help='Seconds that a client may neither send nor take anything before it is cut off.',
    ),
    cfg.BoolOpt(
        'api_only',
        default=False,
        help='Start no conductor beside the API; run glance-lite-conductor somewhere instead.',
    ),
    cfg.StrOpt(
        'public_endpoint',
        help='Base URL that clients use, for the links in answers. Unset: taken from the request.',
    ),
    cfg.IntOpt(
        'limit_param_default', default=25, min=1, mutable=True, help='Images in a page by default.'
    ),
    cfg.IntOpt(
        'api_limit_max', default=1000, min=1, mutable=True, help='Images in a page at most.'
    ),
    cfg.IntOpt(
        'max_request_id_length',
        default=64,
        min=0,
        max=255,
        help='Characters of an x-openstack-request-id header that are accepted.',
    ),
    cfg.IntOpt(
        'max_json_body_size',
        default=1024 * 1024,
        min=1024,
        mutable=True,
        help='Bytes of a JSON request body at most.',
    ),
    cfg.IntOpt(
        'image_size_cap',
        default=1 << 40,
        min=1,
        max=1 << 60,
        mutable=True,
        help='Bytes of image data at most, for uploads, staging and downloads alike.',
    ),
    cfg.Opt(
        'user_storage_quota',
        type=types.StorageSize(),
        default='0',
        mutable=True,
        help='Bytes that the data of all images of a project may have in all stores together, each '
        'copy counted; staged data must fit beside it. A number with B, KB, MB, GB or TB, each '
        '1024 of the one before. 0: any.',
    ),
    cfg.BoolOpt(
        'use_keystone_limits',
        default=False,
        help='Have Keystone say what each project may have, in place of user_storage_quota and '
        'project_image_quota: the unified limits image_size_total and image_stage_total (in MiB), '
        'image_count_total and image_count_uploading. [oslo_limit] says how to ask.',
    ),
    cfg.IntOpt(
        'project_image_quota',
        default=-1,
        mutable=True,
        help='Images that a project may have, with data or without; below 0: any number.',
    ),
    cfg.IntOpt(
        'image_property_quota',
        default=128,
        mutable=True,
        help='Properties of an image; below 0: any.',
    ),
    cfg.IntOpt(
        'image_tag_quota', default=128, mutable=True, help='Tags of an image; below 0: any number.'
    ),
    cfg.IntOpt(
        'image_member_quota',
        default=128,
        mutable=True,
        help='Projects with which an image is shared; below 0: any number.',
    ),
    cfg.IntOpt(
        'image_location_quota',
        default=10,
        mutable=True,
        help='Locations of an image that PATCH may give it; below 0: any number.',
    ),
    cfg.StrOpt(
        'property_protection_file',
        mutable=True,
        help='File that says who may create, read, update and delete which custom properties of '
        'images, in a section for each regular expression of names. A property that no section '
        'fits is for nobody. Unset: no property is protected.',
    ),
    cfg.StrOpt(
        'property_protection_rule_format',
        choices=['roles', 'policies'],
        default='roles',
        mutable=True,
        help='What property_protection_file lists behind an operation: roles, with commas between '
        'them, or one rule of the policy file. In both, @ is everybody and ! nobody.',
    ),
    cfg.Opt(
        'hashing_algorithm',
        type=types.HashAlgorithm(),
        default='sha512',
        help='Algorithm of os_hash_value, any that hashlib knows with a fixed length.',
    ),
    cfg.BoolOpt(
        'allow_anonymous_access',
        default=False,
        help='Let requests without a token read what anybody may see.',
    ),
    cfg.BoolOpt(
        'show_image_direct_url',
        default=False,
        mutable=True,
        help='Show where the data of an image rests (direct_url). It tells of the inside.',
    ),
    cfg.BoolOpt(
        'show_multiple_locations',
        default=False,
        mutable=True,
        help='Show all places where the data of an image rests (locations) to whom the rule '
        'get_image_location lets, and let them be changed by PATCH. It tells of the inside, and '
        'users could then give images data that others may change; '
        '/v2/images/<id>/locations needs no such option.',
    ),
    cfg.BoolOpt(
        'do_secure_hash',
        default=True,
        mutable=True,
        help='Read the data of a location that is registered, for its hash and its format: before '
        'the image is active if a hash to compare was given, else after that. False: a hash that '
        'was given is believed, and nobody looks at the data.',
    ),
    cfg.BoolOpt(
        'enable_image_import',
        default=True,
        help='Offer interoperable import. False removes the calls as if they did not exist.',
    ),
    cfg.Opt(
        'enabled_import_methods',
        type=types.LooseList(
            item_type=cfg_types.String(choices=['glance-direct', 'web-download', 'copy-image'])
        ),
        default=['glance-direct', 'web-download', 'copy-image'],
        mutable=True,
        help='Import methods that users may choose.',
    ),
    cfg.StrOpt(
        'node_staging_uri',
        default='file:///var/lib/glance-lite/staging',
        help='Directory, as a file:// URI, where image data waits between upload and import. '
        'It should be on the file system of the stores, as data then moves by a link. '
        '[os_glance_staging_store] filesystem_store_datadir, if set, comes first.',
    ),
    cfg.Opt(
        'enabled_backends',
        type=types.LooseDict(value_type=cfg_types.String()),
        default={},
        sample_default='fast:file, archive:file',
        help='Stores as id:type pairs; each has a section named after its id. Empty: one store '
        'from [glance_store].',
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register the options of ``[DEFAULT]`` on ``conf``."""
    conf.register_opts(OPTS)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options for the sample generator."""
    return [('DEFAULT', OPTS)]
