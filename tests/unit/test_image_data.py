# SPDX-License-Identifier: Apache-2.0
"""Bytes move once and are measured right, whatever the pace at which they come."""

import hashlib
import io
import random
import threading

import pytest

from glance_lite import exceptions, image_data


class Paced:
    """A source that gives at most ``most`` bytes at once."""

    def __init__(self, data, most):
        self.file, self.most = io.BytesIO(data), most

    def readinto(self, buffer):
        return self.file.readinto(buffer[: self.most])


def move(source, **options):
    out = bytearray()
    facts = image_data.transfer(
        source, lambda piece: out.extend(piece), hash_algo='sha512', **options
    )
    return bytes(out), facts


@pytest.mark.parametrize('size', [0, 1, 65536, 262144, 262145, 3 * 1024 * 1024 + 7])
@pytest.mark.parametrize('most', [1000, 65536, 10_000_000])
@pytest.mark.parametrize('announced', [False, True])
def test_what_comes_out_is_what_went_in(size, most, announced):
    data = random.Random(size).randbytes(size)
    expected = size if announced else None
    out, facts = move(Paced(data, most), more_hashes=('sha256',), expected_bytes=expected)
    assert out == data
    assert facts.size == size
    assert facts.checksum == hashlib.md5(data).hexdigest()
    assert (facts.os_hash_algo, facts.os_hash_value) == ('sha512', hashlib.sha512(data).hexdigest())
    assert facts.expected == {'sha256': hashlib.sha256(data).hexdigest()}


def test_what_is_announced_to_be_short_is_moved_by_the_calling_thread_alone():
    threads = threading.active_count()
    seen = []

    def write(piece):
        seen.append(threading.active_count())

    for size in (image_data.SHORT_BYTES, image_data.SHORT_BYTES + 1):
        image_data.transfer(
            Paced(bytes(size), 1 << 20), write, hash_algo='sha512', expected_bytes=size
        )
        assert (max(seen) == threads) == (size == image_data.SHORT_BYTES)


def test_a_limit_is_kept_while_the_bytes_come():
    written = []
    with pytest.raises(exceptions.LimitExceeded, match='limit of 100000 bytes'):
        image_data.transfer(
            Paced(bytes(1 << 20), 65536),
            lambda piece: written.append(len(piece)),
            hash_algo='sha512',
            max_bytes=100_000,
        )
    assert sum(written) <= 100_000


@pytest.mark.parametrize(('size', 'expected'), [(10, 11), (11, 10), (2_000_000, 1_999_999)])
def test_an_announced_size_must_be_right(size, expected):
    with pytest.raises(exceptions.InvalidRequest, match=str(expected)):
        move(Paced(bytes(size), 65536), expected_bytes=expected)


def test_an_announced_size_over_the_limit_is_refused_before_a_byte_is_read():
    with pytest.raises(exceptions.LimitExceeded):
        move(None, expected_bytes=11, max_bytes=10)


@pytest.mark.parametrize('at', [1, 2_000_000])
def test_a_failing_target_stops_the_transfer(at):
    done = 0

    def write(piece):
        nonlocal done
        done += len(piece)
        if done >= at:
            raise exceptions.StoreFull('full')

    with pytest.raises(exceptions.StoreFull):
        image_data.transfer(Paced(bytes(4 << 20), 65536), write, hash_algo='sha512')


def test_progress_is_told_and_may_stop():
    seen = []

    def advance(count):
        seen.append(count)
        if sum(seen) > 1_000_000:
            raise exceptions.ImportCancelled('stop')

    with pytest.raises(exceptions.ImportCancelled):
        move(Paced(bytes(4 << 20), 65536), advance=advance)
    assert 1_000_000 < sum(seen) < 3_000_000
