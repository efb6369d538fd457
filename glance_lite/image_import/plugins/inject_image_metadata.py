# SPDX-License-Identifier: Apache-2.0
"""The import plugin that gives each imported image the operator's properties.

Options and their meaning are those of Glance's plugin of this name; both ways of writing ``inject``
are read, with quotes and without.
"""

from __future__ import annotations

from oslo_config import cfg
from oslo_log import log

from glance_lite.conf import types
from glance_lite.domain import image as domain
from glance_lite.image_import import plugin_values
from glance_lite.plugin import ImageChanges, ImageSnapshot, ImportPlugin, StagedData

LOG = log.getLogger(__name__)

GROUP = 'inject_metadata_properties'
_QUOTES = '"\''

OPTS = [
    cfg.Opt(
        'ignore_user_roles',
        type=types.LooseList(),
        default=['admin'],
        mutable=True,
        help='Images that are imported by a user with any of these roles get no properties. '
        'Compared without case.',
    ),
    cfg.StrOpt(
        'inject',
        default='',
        sample_default='"property1":"value1","property2":"value2"',
        mutable=True,
        help='Properties for each imported image, as name:value pairs with commas between them. '
        'Either may be put in quotes, and must be when it holds a comma (or, for a name, a colon); '
        'within quotes a backslash keeps a quote or a backslash as it is. They come before what '
        'the user has set, whether or not the user may set them.',
    ),
]


class InjectImageMetadata(ImportPlugin):
    """Set ``[inject_metadata_properties] inject`` on the image, with the service's rights.

    The properties stay on the image when a later step fails.
    """

    name = 'inject_image_metadata'

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        super().__init__(conf)
        self._ignored = {role.lower() for role in conf[GROUP].ignore_user_roles}
        self._properties = injected(conf)

    @classmethod
    def list_opts(cls) -> list[tuple[str, list[cfg.Opt]]]:
        """Return the options."""
        return [(GROUP, OPTS)]

    def execute(self, image: ImageSnapshot, staged: StagedData) -> ImageChanges | None:
        """Return the properties, unless the importing user has an ignored role."""
        ignored = self._ignored.intersection(image.importer.roles)
        if ignored:
            LOG.debug('Image %s: no properties for role %s', image.image_id, min(ignored))
            return None
        return ImageChanges(properties=dict(self._properties))


def injected(conf: cfg.ConfigOpts) -> dict[str, str]:
    """Return the properties that images get.

    :raises ValueError: the option cannot be read, or has a name that is not possible.
    """
    try:
        properties = parse_pairs(conf[GROUP].inject)
        for name in properties:
            _check_name(name)
    except ValueError as error:
        raise ValueError(f'[{GROUP}] inject: {error}') from error
    return properties


def parse_pairs(text: str) -> dict[str, str]:
    """Read ``"a":"b","c":"d"``, or ``a:b, c:d``, or a mixture, possibly in braces.

    oslo.config takes one outer pair of quotes off a value, so that the first form arrives as
    ``a":"b","c":"d``; a text that cannot be read as it stands is tried with that pair put back.

    :raises ValueError: neither can be read; the message says where.
    """
    text = text.strip()
    if text.startswith('{') and text.endswith('}'):
        text = text[1:-1].strip()
    if not text:
        return {}
    try:
        return _read_pairs(text)
    except ValueError as error:
        for quote in _QUOTES:
            try:
                return _read_pairs(f'{quote}{text}{quote}')
            except ValueError:
                continue
        raise error


def _read_pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    at = 0
    while True:
        name, at = _read_word(text, at, ':,')
        if at >= len(text) or text[at] != ':':
            raise ValueError(f'{name!r} has no value; write it as name:value')
        value, at = _read_word(text, at + 1, ',')
        if not name:
            raise ValueError('a name is empty')
        if name in pairs:
            raise ValueError(f'{name!r} is there twice')
        pairs[name] = value
        at += 1
        if not text[at:].strip():
            return pairs


def _read_word(text: str, at: int, ends: str) -> tuple[str, int]:
    """Return a word, quoted or bare, and the position of what ended it."""
    while at < len(text) and text[at].isspace():
        at += 1
    if at < len(text) and text[at] in _QUOTES:
        word, at = _read_quoted(text, at + 1, text[at])
        while at < len(text) and text[at].isspace():
            at += 1
        if at < len(text) and text[at] not in ends:
            raise ValueError(f'{text[at:]!r} follows a closing quote')
        return word, at
    end = at
    while end < len(text) and text[end] not in ends:
        if text[end] == '"':
            raise ValueError(f'a quote stands within {text[at:]!r}')
        end += 1
    word = text[at:end].rstrip()
    if word.endswith("'"):
        raise ValueError(f'a quote ends {word!r}, but none begins it')
    return word, end


def _read_quoted(text: str, at: int, quote: str) -> tuple[str, int]:
    word: list[str] = []
    while at < len(text):
        if text[at] == quote:
            return ''.join(word), at + 1
        if text[at] == '\\' and text[at + 1 : at + 2] in (quote, '\\'):
            at += 1
        word.append(text[at])
        at += 1
    raise ValueError('a quote is not closed')


def _check_name(name: str) -> None:
    plugin_values.check_property_name(name)
    if name.startswith(domain.RESERVED_PREFIX):
        raise ValueError(f"'{name}' belongs to the service")
