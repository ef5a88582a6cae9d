"""Gateways for programs."""

from fastapi import APIRouter
from pydantic import BaseModel

from cloud.crm.fleet import service
from cloud.crm.fleet.service import GatewayView
from cloud.crm.web import PROBLEMS, Desk

router = APIRouter(prefix="/api/v1/gateways", tags=["gateways"], responses=PROBLEMS)


class Gateways(BaseModel):
    """Gateways in scope."""

    gateways: list[GatewayView]


@router.get("")
def list_gateways(desk: Desk) -> Gateways:
    """Every gateway in scope, by store."""
    return Gateways(gateways=service.gateway_list(desk.connection, desk.reader, desk.now))
