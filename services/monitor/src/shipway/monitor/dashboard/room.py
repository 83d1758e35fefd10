"""Puts the dashboard together: its door in front of the service, its routes in the service's app."""

from datetime import timedelta

import httpx
from fastapi import FastAPI

from shipway.contract.events import GatewayPresence, Presence
from shipway.monitor.dashboard.caring import add_care_routes
from shipway.monitor.dashboard.commanding import add_command_routes
from shipway.monitor.dashboard.door import Door
from shipway.monitor.dashboard.importing import PLACE, add_import_routes
from shipway.monitor.dashboard.jobcommanding import add_job_routes
from shipway.monitor.dashboard.jobs import add_job_pages
from shipway.monitor.dashboard.operations import add_operations_pages
from shipway.monitor.dashboard.pages import add_model_pages
from shipway.monitor.dashboard.parts import Parts
from shipway.monitor.dashboard.records import add_record_pages
from shipway.monitor.dashboard.rendering import Pages
from shipway.monitor.dashboard.signin import add_signin_routes
from shipway.monitor.dashboard.stream import Stream
from shipway.monitor.dashboard.trainerjobs import TrainerJobs
from shipway.monitor.settings import MonitorSettings
from shipway.runtime.guard import Guard
from shipway.runtime.http import Asgi
from shipway.runtime.objects import ObjectStore
from shipway.runtime.parts import Parts as ServiceParts
from shipway.runtime.tableview import TableView


def add_dashboard(
    app: FastAPI,
    service: ServiceParts,
    guard: Guard,
    presence: TableView[Presence],
    gateways: TableView[GatewayPresence],
    objects: ObjectStore,
    settings: MonitorSettings,
    client: httpx.AsyncClient,
) -> tuple[Stream, Asgi]:
    """Adds the pages to the app; gives what open pages listen to, and the whole app behind its door and guard."""
    said = settings.dashboard
    hosts = [name.strip() for name in said.hosts.split(",") if name.strip()]
    door = Door(guard, service.database, hosts=hosts, https=said.https)
    stream = Stream(service.database)
    parts = Parts(
        database=service.database,
        objects=objects,
        presence=presence,
        gateways=gateways,
        silent_after_s=settings.silent_after_s,
        guard=guard,
        door=door,
        pages=Pages(commands=said.commands),
        stream=stream,
        key=settings.auth.operator_key.get_secret_value().encode(),
        commands=said.commands,
        session=timedelta(hours=said.session_h),
        wake=service.relay.wake,
        trainer=TrainerJobs(client, said.trainer_url, said.trainer_token.get_secret_value()),
    )
    guard.allow(PLACE, said.import_bytes)
    add_signin_routes(app, parts)
    add_model_pages(app, parts)
    add_operations_pages(app, parts)
    add_job_pages(app, parts)
    add_record_pages(app, parts)
    add_command_routes(app, parts)
    add_job_routes(app, parts)
    add_import_routes(app, parts)
    add_care_routes(app, parts)
    return stream, door.around(guard.around(app))
