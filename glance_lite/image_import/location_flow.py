# SPDX-License-Identifier: Apache-2.0
"""The plan of a location: as ``flow.py``, for data that stays where it is.

With ``do_secure_hash`` and a hash to compare, the data is read before the image is active; without
one to compare, after that. Without ``do_secure_hash`` it is not read, and the hash is believed::

    confirm-claim -> find-location [-> hash-location] -> activate-located [-> hash-active]
      -> complete-task
"""

from __future__ import annotations

import datetime

from taskflow.patterns import linear_flow

from glance_lite.image_import import located
from glance_lite.image_import.allowance import Allowance
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.steps.activate_located import ActivateLocated
from glance_lite.image_import.steps.complete_task import CompleteTask
from glance_lite.image_import.steps.confirm_claim import ConfirmClaim
from glance_lite.image_import.steps.find_location import FindLocation
from glance_lite.image_import.steps.hash_active import HashActive
from glance_lite.image_import.steps.hash_location import HashLocation
from glance_lite.inspection import FormatRules
from glance_lite.services import Services


def build(services: Services, run: ImportRun, time_to_live: datetime.timedelta) -> linear_flow.Flow:
    """Return the flow.

    :raises StoreNotFound: the store of the plan is not here.
    """
    plan, conf, db = run.task.plan, services.conf, services.db
    store = services.stores.get(plan['store'])
    rules = FormatRules.from_conf(conf)
    limits = conf.hashing_algorithm, conf.image_size_cap
    compares = bool(plan['do_secure_hash'] and plan['validation'])
    flow = linear_flow.Flow('location-import')
    flow.add(
        ConfirmClaim(run, db), FindLocation(run, store, conf.image_size_cap, Allowance(db, run))
    )
    if compares:
        flow.add(HashLocation(run, store, rules, *limits))
    flow.add(ActivateLocated(run, db, compares))
    if located.is_hash_wanted(run):
        flow.add(HashActive(run, db, store, rules, *limits))
    flow.add(CompleteTask(run, db, time_to_live))
    return flow
