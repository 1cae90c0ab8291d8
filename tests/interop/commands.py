"""Commands sent over the REST API to a charge point that knows nothing of chargehook."""

from gateway import expect, wait_until


def obeys(gateway, station):
    """Configures, triggers, starts, stops and resets the station. Returns how many commands were sent."""
    sent = []

    def command(action, payload, verdict):
        body = {"action": action, "payload": payload, "timeout": "20s"}
        done = gateway.call("POST", f"/stations/{station}/commands", body, status=200)
        expect(done["status"] == "completed", f"{action} of {station}: {done}")
        if verdict:
            expect(done["response"]["status"] == verdict, f"{action} of {station}: {done}")
            expect(done["accepted"] == (verdict == "Accepted"), f"{action} of {station}: {done}")
        expect(not done.get("violations"), f"{action} of {station} was answered illegally: {done}")
        sent.append(done["id"])
        return done

    def events(kind):
        listed = gateway.call("GET", f"/events?station_id={station}&event={kind}&order=asc&limit=500")
        return listed["data"]

    told = command("GetConfiguration", {}, None)["response"]["configurationKey"]
    expect({"key": "HeartbeatInterval", "value": "300", "readonly": False} in told, f"configuration {told}")
    one = command("GetConfiguration", {"key": ["HeartbeatInterval", "Frobnication"]}, None)["response"]
    expect(one["unknownKey"] == ["Frobnication"], f"{one}")
    command("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "120"}, "Accepted")
    command("ChangeConfiguration", {"key": "NumberOfConnectors", "value": "2"}, "Rejected")
    command("ChangeConfiguration", {"key": "Frobnication", "value": "1"}, "NotSupported")
    one = command("GetConfiguration", {"key": ["HeartbeatInterval"]}, None)["response"]
    expect(one["configurationKey"][0]["value"] == "120", f"{one}")

    before = len(events("StatusNotification"))
    command("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}, "Accepted")
    wait_until(lambda: len(events("StatusNotification")) > before, "the triggered status did not come")
    command("TriggerMessage", {"requestedMessage": "DiagnosticsStatusNotification"}, "NotImplemented")

    start = command("RemoteStartTransaction", {"idTag": "CAFE0002", "connectorId": 1}, "Accepted")
    started = wait_until(
        lambda: (found := gateway.call("GET", f"/commands/{start['id']}"))["outcome"] and found,
        "the remote start had no outcome",
    )
    expect(started["outcome"] == "started", f"{started}")
    number = started["transaction_id"]
    transaction = gateway.call("GET", f"/transactions/{number}")
    expect(transaction["command_id"] == start["id"], f"{transaction}")
    expect(transaction["id_tag"] == "CAFE0002", f"{transaction}")
    command("RemoteStopTransaction", {"transactionId": 1}, "Rejected")
    command("RemoteStopTransaction", {"transactionId": number}, "Accepted")
    stopped = wait_until(
        lambda: (found := gateway.call("GET", f"/transactions/{number}"))["status"] == "completed" and found,
        "the transaction was not stopped",
    )
    expect(stopped["stop_reason"] == "Remote" and stopped["energy_wh"] == 7400, f"{stopped}")

    boots = len(events("BootNotification"))
    command("Reset", {"type": "Soft"}, "Accepted")
    wait_until(lambda: len(events("BootNotification")) > boots, "it did not boot again")
    unheard_of = gateway.call(
        "POST", f"/stations/{station}/commands", {"action": "ClearCache", "payload": {}, "timeout": "20s"}
    )
    expect(unheard_of["status"] == "error", f"{unheard_of}")
    expect(unheard_of["error"]["code"] in ("NotImplemented", "NotSupported"), f"{unheard_of}")
    odd = [event for event in events("*") if event["violations"]]
    expect(all(told["problem"].startswith("boot_loop") for event in odd for told in event["violations"]), f"{odd}")
    return len(sent) + 1
