# SPDX-License-Identifier: Apache-2.0
"""The plan of an import: a linear TaskFlow flow. Building it changes nothing.

Everything that decides the plan is in the task's record, so any conductor builds the same flow
again after a crash::

    confirm-claim -> use-staged | download -> verify-staged
      -> run-plugin:<name> [-> keep-path:<name>] ... -> measure-data
      -> copy-to-store:<store> ... -> activate-image -> delete-staged -> complete-task

Of an image that is active already, copies are made. It was checked and changed when it came::

    confirm-claim -> fetch-copy
      -> copy-to-store:<store> ... -> add-locations -> delete-staged -> complete-task
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Callable
from typing import Any

from taskflow.patterns import linear_flow

from glance_lite import creating, exceptions, quotas
from glance_lite.context import RequestContext
from glance_lite.domain import image as image_domain
from glance_lite.domain import import_request
from glance_lite.domain import task as task_domain
from glance_lite.domain.quota import Limits
from glance_lite.domain.task import Task
from glance_lite.image_import import (
    location_flow,
    methods,
    plugin_guard,
    publishing,
    surface,
)
from glance_lite.image_import.allowance import Allowance, as_failures
from glance_lite.image_import.run import ImportRun
from glance_lite.image_import.step import Step
from glance_lite.image_import.steps.activate_image import ActivateImage
from glance_lite.image_import.steps.add_locations import AddLocations
from glance_lite.image_import.steps.check_locations import CheckLocations
from glance_lite.image_import.steps.complete_task import CompleteTask
from glance_lite.image_import.steps.confirm_claim import ConfirmClaim
from glance_lite.image_import.steps.copy_to_store import CopyToStore
from glance_lite.image_import.steps.delete_staged import DeleteStaged
from glance_lite.image_import.steps.keep_path import KeepPath
from glance_lite.image_import.steps.measure_data import MeasureData
from glance_lite.image_import.steps.verify_staged import VerifyStaged
from glance_lite.inspection import FormatRules
from glance_lite.remote.urls import mask_url
from glance_lite.services import Services


@dataclasses.dataclass(frozen=True)
class ImportFlow:
    """The flow, and which of its atoms belong to which plugin."""

    flow: linear_flow.Flow
    plugin_of: dict[str, str]


def build_flow(services: Services, run: ImportRun) -> ImportFlow:
    """Return the flow of an import.

    :raises ImportFailed: a plugin or a store of the plan is not here.
    """
    plan = run.task.plan
    if plan['method'] == import_request.LOCATION:
        return ImportFlow(location_flow.build(services, run, time_to_live(services)), {})
    if plan['method'] == import_request.CHECK:
        return ImportFlow(_check_flow(services, run), {})
    stores = [services.stores.get(store_id) for store_id in plan['stores']]
    discard = functools.partial(publishing.discard_attempts, services.db, services.stores, run)
    allowance = Allowance(services.db, run)
    permit = permission(services, run.task, allowance.limits)
    flow = linear_flow.Flow('image-import')
    flow.add(ConfirmClaim(run, services.db, permit), methods.stage(services, run, allowance))
    plugin_of = {} if run.keeps_status else _add_checks(flow, services, run, allowance)
    flow.add(
        *(
            CopyToStore(run, store, number, plan['all_stores_must_succeed'], discard)
            for number, store in enumerate(stores)
        ),
        _publishing_step(services, run, len(stores), allowance, permit),
        DeleteStaged(run, services.staging),
        CompleteTask(run, services.db, time_to_live(services)),
    )
    return ImportFlow(flow, plugin_of)


def _check_flow(services: Services, run: ImportRun) -> linear_flow.Flow:
    conf, db = services.conf, services.db
    rules = FormatRules.from_conf(conf)
    return linear_flow.Flow('location-check').add(
        ConfirmClaim(run, db),
        CheckLocations(
            run, db, services.stores, rules, conf.hashing_algorithm, conf.image_size_cap
        ),
        CompleteTask(run, db, time_to_live(services)),
    )


def time_to_live(services: Services) -> datetime.timedelta:
    """Return how long a finished task can be read."""
    return datetime.timedelta(hours=services.conf.task.task_time_to_live)


def _publishing_step(
    services: Services,
    run: ImportRun,
    copies: int,
    allowance: Allowance,
    permit: Callable[[], None],
) -> Step:
    if run.keeps_status:
        return AddLocations(run, services.db, services.stores, copies, allowance)
    return ActivateImage(run, services.db, services.stores, copies, allowance, permit)


def _add_checks(
    flow: linear_flow.Flow, services: Services, run: ImportRun, allowance: Allowance
) -> dict[str, str]:
    flow.add(VerifyStaged(run, services.format_rules(run.task.plan['plugins'])))
    plugin_of = _add_plugins(flow, services, run)
    rules = services.format_rules(())
    flow.add(MeasureData(run, services.db, services.staging, rules, allowance))
    return plugin_of


def permission(services: Services, task: Task, limits: Limits) -> Callable[[], None]:
    """Return what raises :class:`ImportFailed` when the caller may not have the image made.

    An image that was there before was permitted when it was created.
    """

    def require() -> None:
        assert task.image_id is not None
        image = image_domain.from_draft(task.image_id, task.plan['image'])
        caller = RequestContext.from_record(task.caller)
        try:
            with as_failures(), services.db.reader() as session:
                quotas.require_image(session, limits, image.owner)
            with as_failures():
                creating.require_creation(
                    services.policy, services.conf, caller, image, services.rules.protection
                )
        except exceptions.Forbidden as error:
            raise exceptions.ImportFailed('not_permitted', error.message) from error

    return require if task_domain.makes_image(task) else lambda: None


def _request(task: Task) -> dict[str, Any]:
    """Return the request as plugins know it: the body of an interoperable import."""
    if task_domain.makes_image(task):
        return {'method': {'name': task.plan['method'], 'uri': mask_url(task.plan['source'])}}
    request: dict[str, Any] = task.input.get('import_req', task.input)
    return request


def _add_plugins(flow: linear_flow.Flow, services: Services, run: ImportRun) -> dict[str, str]:
    plugin_of: dict[str, str] = {}
    position = 0
    for built in services.plugins.build(run.task.plan['plugins'], _arguments(services, run)):
        plugin_guard.guard(run, services.db, built)
        flow.add(built.flow)
        plugin_of.update(dict.fromkeys(built.atom_names, built.name))
        if 'file_path' in built.flow.provides:
            position += 1
            step = KeepPath(run, services.staging, built.name, position)
            flow.add(step)
            plugin_of[step.name] = built.name
    return plugin_of


def _arguments(services: Services, run: ImportRun) -> dict[str, Any]:
    """Return what a plugin's ``get_flow`` is called with (doc: plugins/reference)."""
    task = run.task
    image_repo = surface.ImageRepo(services.db, task, run.guard)
    return {
        'task_id': task.task_id,
        'task_type': task.type,
        'context': RequestContext.from_record(task.caller),
        'task_repo': surface.TaskRepo(services.db),
        'image_repo': image_repo,
        'admin_repo': image_repo,
        'image_factory': surface.ImageFactory(),
        'backend': list(task.plan['stores']),
        'image_id': run.image_id,
        'import_req': _request(task),
        'action_wrapper': surface.ActionWrapper(
            services.db, task, run.guard, run.advance, run.expect
        ),
        'uri': task.plan.get('uri'),
    }
