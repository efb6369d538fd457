# SPDX-License-Identifier: Apache-2.0
"""Whatever the bytes are, inspecting and unpacking them ends soon, in an answer or a refusal.

The corpus is ``glance_lite.testing.hostile``: bytes of it are changed and cut off. Each run tries
the same; with ``GLANCE_LITE_FUZZ_EXAMPLES=100000`` it tries so many new ones.
"""

import dataclasses
import io
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from glance_lite import exceptions
from glance_lite.image_import import unpacking
from glance_lite.inspection import ARCHIVES, FormatRules, Inspector, kind_of
from glance_lite.testing import hostile
from tests import hostile as table

#: No data is larger, so that nothing takes long.
MOST = 3 << 20
#: What may be unpacked of any input before a test gives up.
OUTPUT = 8 << 20
CORPUS = [row.data[:MOST] for row in table.rows()]
CORPUS += [hostile.qcow2_header(), hostile.vdi(), hostile.vhd(), hostile.vhdx(), hostile.vmdk()]
PACKED = [data for data in CORPUS if kind_of(data) in ARCHIVES]
WANTED = os.environ.get('GLANCE_LITE_FUZZ_EXAMPLES')
FUZZ = settings(
    max_examples=int(WANTED or 600),
    deadline=None,
    derandomize=WANTED is None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@dataclasses.dataclass(frozen=True)
class Change:
    """Write ``data`` at a place, given as a share of 4096 in the first bytes or in all."""

    place: int
    in_head: bool
    data: bytes

    def apply(self, to: bytearray) -> None:
        span = min(len(to), 600) if self.in_head else len(to)
        at = self.place * span // 4096
        to[at : at + len(self.data)] = self.data


numbers = st.sampled_from([b'\xff' * 8, bytes(8), b'\x7f' + b'\xff' * 7, b'\0\0\0\x01' * 2])
changes = st.builds(
    Change, st.integers(0, 4095), st.booleans(), st.binary(min_size=1, max_size=12) | numbers
)


@st.composite
def mutated(draw, corpus):
    data = bytearray(draw(st.sampled_from(corpus)))
    for change in draw(st.lists(changes, max_size=6)):
        change.apply(data)
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, 4096)) * len(data) // 4096]
    return bytes(data)


def look(data, sizes, inspector):
    at, turn = 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        inspector.eat(memoryview(data)[at : at + size])
        at, turn = at + size, turn + 1
    return inspector.finish()


@FUZZ
@given(mutated(CORPUS), st.lists(st.integers(300, 1 << 20), min_size=1, max_size=4))
@example(b'', [1])
def test_every_content_has_one_finding_in_whatever_pieces_it_comes(data, sizes):
    whole = look(data, [len(data) or 1], Inspector())
    assert look(data, sizes, Inspector()) == whole
    assert whole.virtual_size is None or 0 <= whole.virtual_size < 1 << 63
    for declared in ('qcow2', 'raw', 'vmdk'):
        rules = FormatRules(vmdk_types=frozenset({'monolithicsparse', 'streamoptimized'}))
        try:
            rules.check(whole, declared)
        except exceptions.ImportFailed as late:
            # the early answer may name less, and never lets pass what the late one refuses
            with pytest.raises(exceptions.ImportFailed) as early:
                look(data, sizes, rules.inspector(declared, 'bare'))
            assert early.value.code in (late.code, 'format_mismatch')
        else:
            look(data, sizes, rules.inspector(declared, 'bare'))


class Watched(io.BytesIO):
    """Counts what is read."""

    def __init__(self, data):
        super().__init__(data)
        self.taken = 0

    def read(self, *args):
        data = super().read(*args)
        self.taken += len(data)
        return data


@FUZZ
@given(mutated(PACKED), st.sampled_from(sorted(ARCHIVES)), st.booleans())
def test_unpacking_ends_in_bytes_or_in_a_reason(data, kind, as_it_is):
    found = kind_of(data)
    if as_it_is and found in ARCHIVES:
        kind = found
    file = Watched(data)
    size = 0
    try:
        for piece in unpacking.unpack(file, kind):
            assert 0 < len(piece) <= unpacking.PIECE_BYTES
            size += len(piece)
            if size > OUTPUT:
                break
    except unpacking.Damaged as error:
        assert 0 < len(str(error)) < 200
    assert file.taken <= 4 * len(data) + (1 << 20)
