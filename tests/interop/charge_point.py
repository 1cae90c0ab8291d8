"""A charging session as the PyPI package `ocpp` drives it."""

import asyncio
from datetime import datetime, timezone

import websockets
from gateway import expect
from ocpp.v16 import ChargePoint, call
from ocpp.v16.enums import AuthorizationStatus, ChargePointErrorCode, ChargePointStatus, RegistrationStatus

EVENTS = [
    "BootNotification",
    "StatusNotification",
    "Heartbeat",
    "Authorize",
    "StartTransaction",
    "MeterValues",
    "StopTransaction",
]


def now():
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def session(charge_point):
    """Boot, start, meter, stop; every answer is checked. Returns the transaction's number."""
    boot = await charge_point.call(
        call.BootNotification(charge_point_vendor="Interop", charge_point_model="PyPI ocpp")
    )
    expect(boot.status == RegistrationStatus.accepted, f"boot answered {boot}")
    expect(boot.interval == 300, f"boot answered {boot}")
    await charge_point.call(
        call.StatusNotification(
            connector_id=1,
            error_code=ChargePointErrorCode.no_error,
            status=ChargePointStatus.available,
            timestamp=now(),
        )
    )
    heartbeat = await charge_point.call(call.Heartbeat())
    expect(heartbeat.current_time.endswith("Z"), f"heartbeat answered {heartbeat}")
    authorize = await charge_point.call(call.Authorize(id_tag="CAFE0001"))
    expect(authorize.id_tag_info["status"] == AuthorizationStatus.accepted, f"authorize answered {authorize}")
    start = await charge_point.call(
        call.StartTransaction(connector_id=1, id_tag="CAFE0001", meter_start=1000, timestamp=now())
    )
    expect(start.transaction_id > 0, f"start answered {start}")
    expect(start.id_tag_info["status"] == AuthorizationStatus.accepted, f"start answered {start}")
    await charge_point.call(
        call.MeterValues(
            connector_id=1,
            transaction_id=start.transaction_id,
            meter_value=[{"timestamp": now(), "sampledValue": [{"value": "4200", "unit": "Wh"}]}],
        )
    )
    stop = await charge_point.call(
        call.StopTransaction(transaction_id=start.transaction_id, meter_stop=8400, timestamp=now())
    )
    expect(stop is not None, "stop was not answered")
    return start.transaction_id


async def run(url, identity):
    async with websockets.connect(f"{url}/{identity}", subprotocols=["ocpp1.6"]) as socket:
        expect(socket.subprotocol == "ocpp1.6", f"subprotocol {socket.subprotocol}")
        charge_point = ChargePoint(identity, socket)
        reader = asyncio.create_task(charge_point.start())
        try:
            return await asyncio.wait_for(session(charge_point), timeout=60)
        finally:
            reader.cancel()
