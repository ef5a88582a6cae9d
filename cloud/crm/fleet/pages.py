"""Gateways, as a page for those who look after them."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from cloud.crm.fleet import service
from cloud.crm.web import Desk
from cloud.i18n import N_

router = APIRouter(include_in_schema=False)

STATES = {
    "online": N_("online"),
    "silent": N_("silent"),
    "offline": N_("offline"),
    "never": N_("never heard"),
}
TRANSPORTS = {"ble": N_("Bluetooth"), "serial": N_("Serial"), "dock": N_("Dock"), "virtual": N_("Virtual")}
TRANSPORT_STATES = {
    "ok": N_("works"),
    "silent": N_("hears nothing"),
    "absent": N_("not there"),
    "failed": N_("failed"),
}


@router.get("/gateways")
def gateway_page(desk: Desk) -> HTMLResponse:
    """Every gateway in scope."""
    found = service.gateway_list(desk.connection, desk.reader, desk.now)
    return desk.page(
        "fleet/gateways.html",
        nav="gateways",
        gateways=found,
        states=STATES,
        transports=TRANSPORTS,
        transport_states=TRANSPORT_STATES,
    )
