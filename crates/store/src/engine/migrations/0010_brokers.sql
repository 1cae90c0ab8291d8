-- Of a webhook whose URL names a broker: what its messages are published on, how the gateway signs in (a JSON
-- object, sealed), and how CloudEvents are laid into messages. All are NULL where the URL is an endpoint's.
ALTER TABLE webhooks ADD COLUMN topic TEXT;
ALTER TABLE webhooks ADD COLUMN credentials TEXT;
ALTER TABLE webhooks ADD COLUMN cloudevents_mode TEXT;
