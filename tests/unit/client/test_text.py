# SPDX-License-Identifier: Apache-2.0
"""Numbers and foreign text for a terminal."""

import pytest

from glance_lite.client import text


@pytest.mark.parametrize(
    'count, shown',
    [
        (0, '0 B'),
        (1023, '1023 B'),
        (1536, '1.5 KiB'),
        (64 << 20, '64.0 MiB'),
        (1023 << 20, '1.0 GiB'),
        (5 << 40, '5.0 TiB'),
        (1 << 62, '4096.0 PiB'),
    ],
)
def test_sizes_have_a_binary_unit(count, shown):
    assert text.size(count) == shown


@pytest.mark.parametrize(
    'seconds, shown',
    [(0.04, '0.0 s'), (9.94, '9.9 s'), (42, '42 s'), (185, '3:05'), (7385, '2:03:05')],
)
def test_spans_grow_with_their_length(seconds, shown):
    assert text.span(seconds) == shown


def test_foreign_text_cannot_command_the_terminal():
    assert text.clean('a\x1b[31mred\nline\u202eback\x07') == 'a [31mred line back'


def test_markup_of_an_error_page_is_removed():
    page = '<html><body><h1>409 Conflict</h1>Not &lt;now&gt;<br /><br />\n</body></html>'
    assert text.without_markup(page) == '409 Conflict Not <now>'
