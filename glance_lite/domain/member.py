# SPDX-License-Identifier: Apache-2.0
"""A project with which an image is shared (Images API v2, "Sharing")."""

from __future__ import annotations

import dataclasses
import datetime

PENDING = 'pending'
ACCEPTED = 'accepted'
REJECTED = 'rejected'
#: A member has the image in any of them; they decide which of its listings show the image.
STATUSES = (PENDING, ACCEPTED, REJECTED)


@dataclasses.dataclass
class Member:
    """One project that an image is shared with. Times are UTC."""

    image_id: str
    member_id: str
    status: str
    created_at: datetime.datetime
    updated_at: datetime.datetime
