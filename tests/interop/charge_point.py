"""A charge point as the PyPI package `ocpp` drives it: one charging session, then it obeys."""

import asyncio
import threading
from datetime import datetime, timezone

import websockets
from gateway import expect, wait_until
from ocpp.routing import after, on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import (
    Action,
    AuthorizationStatus,
    ChargePointErrorCode,
    ChargePointStatus,
    ConfigurationStatus,
    Reason,
    RegistrationStatus,
    RemoteStartStopStatus,
    ResetStatus,
    TriggerMessageStatus,
)

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


class Station(ChargePoint):
    """One connector, a meter, and two configuration keys."""

    def __init__(self, identity, socket, configuration):
        super().__init__(identity, socket)
        self.configuration = configuration
        self.transaction_id = None
        self.meter_wh = 1000
        self.errands = set()

    def soon(self, errand):
        """Runs what follows an answer; it makes calls of its own, which the reader must be free for."""
        task = asyncio.create_task(errand)
        self.errands.add(task)
        task.add_done_callback(self.errands.discard)

    async def boot(self):
        boot = await self.call(
            call.BootNotification(charge_point_vendor="Interop", charge_point_model="PyPI ocpp")
        )
        expect(boot.status == RegistrationStatus.accepted, f"boot answered {boot}")
        expect(boot.interval == 300, f"boot answered {boot}")
        await self.report(ChargePointStatus.available)

    async def report(self, status):
        await self.call(
            call.StatusNotification(
                connector_id=1, error_code=ChargePointErrorCode.no_error, status=status, timestamp=now()
            )
        )

    async def begin(self, id_tag):
        start = await self.call(
            call.StartTransaction(
                connector_id=1, id_tag=id_tag, meter_start=self.meter_wh, timestamp=now()
            )
        )
        expect(start.transaction_id > 0, f"start answered {start}")
        expect(start.id_tag_info["status"] == AuthorizationStatus.accepted, f"start answered {start}")
        self.transaction_id = start.transaction_id

    async def end(self, reason):
        number, self.transaction_id = self.transaction_id, None
        self.meter_wh += 7400
        value = {"value": str(self.meter_wh), "unit": "Wh"}
        await self.call(
            call.MeterValues(
                connector_id=1,
                transaction_id=number,
                meter_value=[{"timestamp": now(), "sampledValue": [value]}],
            )
        )
        stop = await self.call(
            call.StopTransaction(
                transaction_id=number, meter_stop=self.meter_wh, timestamp=now(), reason=reason
            )
        )
        expect(stop is not None, "stop was not answered")
        return number

    async def session(self):
        """Boot, start, meter, stop; every answer is checked. Returns the transaction's number."""
        await self.boot()
        heartbeat = await self.call(call.Heartbeat())
        expect(heartbeat.current_time.endswith("Z"), f"heartbeat answered {heartbeat}")
        authorize = await self.call(call.Authorize(id_tag="CAFE0001"))
        verdict = authorize.id_tag_info["status"]
        expect(verdict == AuthorizationStatus.accepted, f"authorize answered {authorize}")
        await self.begin("CAFE0001")
        return await self.end(Reason.local)

    @on(Action.remote_start_transaction)
    def on_remote_start(self, **_):
        return call_result.RemoteStartTransaction(RemoteStartStopStatus.accepted)

    @after(Action.remote_start_transaction)
    def after_remote_start(self, id_tag, **_):
        self.soon(self.begin(id_tag))

    @on(Action.remote_stop_transaction)
    def on_remote_stop(self, transaction_id):
        mine = transaction_id == self.transaction_id
        verdict = RemoteStartStopStatus.accepted if mine else RemoteStartStopStatus.rejected
        return call_result.RemoteStopTransaction(verdict)

    @after(Action.remote_stop_transaction)
    def after_remote_stop(self, transaction_id):
        if transaction_id == self.transaction_id:
            self.soon(self.end(Reason.remote))

    @on(Action.reset)
    def on_reset(self, **_):
        return call_result.Reset(ResetStatus.accepted)

    @after(Action.reset)
    def after_reset(self, **_):
        self.soon(self._connection.close())

    @on(Action.get_configuration)
    def on_get_configuration(self, key=None):
        asked = key or list(self.configuration)
        known = [{"key": name, **self.configuration[name]} for name in asked if name in self.configuration]
        unknown = [name for name in asked if name not in self.configuration]
        return call_result.GetConfiguration(configuration_key=known, unknown_key=unknown)

    @on(Action.change_configuration)
    def on_change_configuration(self, key, value):
        known = self.configuration.get(key)
        if known is None:
            return call_result.ChangeConfiguration(ConfigurationStatus.not_supported)
        if known["readonly"]:
            return call_result.ChangeConfiguration(ConfigurationStatus.rejected)
        known["value"] = value
        return call_result.ChangeConfiguration(ConfigurationStatus.accepted)

    @on(Action.trigger_message)
    def on_trigger_message(self, requested_message, **_):
        known = requested_message == "StatusNotification"
        verdict = TriggerMessageStatus.accepted if known else TriggerMessageStatus.not_implemented
        return call_result.TriggerMessage(verdict)

    @after(Action.trigger_message)
    def after_trigger_message(self, requested_message, **_):
        if requested_message == "StatusNotification":
            self.soon(self.report(ChargePointStatus.available))


class Running:
    """A station on a thread of its own; a context manager. `transaction_id` is its first session's."""

    def __init__(self, url, identity):
        self.url, self.identity = url, identity
        self.transaction_id = self.error = self.loop = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.transaction_id or self.error, "the Python charge point did not charge", 60)
        expect(not self.error, f"the Python charge point: {self.error!r}")
        return self

    def __exit__(self, kind, error, trace):
        self.loop.call_soon_threadsafe(self.life.cancel)
        self.thread.join(timeout=30)
        expect(kind or not self.error, f"the Python charge point: {self.error!r}")

    def run(self):
        try:
            asyncio.run(self.live())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # told by the thread that waits
            self.error = error

    async def live(self):
        self.loop, self.life = asyncio.get_running_loop(), asyncio.current_task()
        configuration = {
            "HeartbeatInterval": {"value": "300", "readonly": False},
            "NumberOfConnectors": {"value": "1", "readonly": True},
        }
        while True:
            async with websockets.connect(f"{self.url}/{self.identity}", subprotocols=["ocpp1.6"]) as socket:
                expect(socket.subprotocol == "ocpp1.6", f"subprotocol {socket.subprotocol}")
                station = Station(self.identity, socket, configuration)
                reader = asyncio.create_task(station.start())
                if self.transaction_id is None:
                    self.transaction_id = await asyncio.wait_for(station.session(), timeout=60)
                else:
                    await station.boot()
                try:
                    await reader
                except websockets.ConnectionClosed:
                    pass
