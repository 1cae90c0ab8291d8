// A webhook receiver to copy, with Express.
//
//   npm install
//   WEBHOOK_SECRET=whsec_... npm start
//
// WEBHOOK_SECRET is the `signing_secret` of the webhook; PORT is 4000 unless set.
'use strict';

const crypto = require('node:crypto');
const express = require('express');

// The key is not the text: it is the bytes that the base64 after whsec_ stands for.
const key = Buffer.from((process.env.WEBHOOK_SECRET ?? '').replace(/^whsec_/, ''), 'base64');
if (key.length === 0) {
  console.error('set WEBHOOK_SECRET to the signing_secret of the webhook');
  process.exit(2);
}
// How far the sender's clock may be from ours: what is older may be a replay.
const TOLERANCE_S = 5 * 60;

// The ids seen so far. In production: a unique column in your database, written in the same
// transaction as what the event changes, so that it survives a restart.
const seen = new Set();

// timingSafeEqual takes the same time whatever differs, so it gives no hints to a forger.
const equal = (a, b) => a.length === b.length && crypto.timingSafeEqual(a, b);
const hmac = (...parts) => {
  const mac = crypto.createHmac('sha256', key);
  parts.forEach((part) => mac.update(part));
  return mac.digest();
};
const isFresh = (timestamp) =>
  /^\d+$/.test(timestamp) && Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_S;

// Standard Webhooks: HMAC-SHA256 over `id.timestamp.body` in base64, one per valid secret.
function isGenuineStandard(req) {
  const expected = hmac(`${req.get('webhook-id')}.${req.get('webhook-timestamp')}.`, req.body);
  return req
    .get('webhook-signature')
    .split(' ')
    .filter((signature) => signature.startsWith('v1,'))
    .some((signature) => equal(expected, Buffer.from(signature.slice(3), 'base64')));
}

// The plain form: HMAC-SHA256 over `timestamp.body`, in hex after `sha256=`.
function isGenuinePlain(req) {
  const expected = hmac(`${req.get('x-webhook-timestamp')}.`, req.body).toString('hex');
  return equal(Buffer.from(`sha256=${expected}`), Buffer.from(req.get('x-webhook-signature')));
}

const app = express();

// express.raw, not express.json: the signature is over exactly the bytes that were sent. Mount it on
// this route, ahead of any app.use(express.json()), which would eat the body first.
app.post('/', express.raw({ type: () => true, limit: '2mb' }), (req, res) => {
  const needed = ['webhook-id', 'webhook-timestamp', 'webhook-signature'];
  if (needed.some((name) => !req.get(name)) || !Buffer.isBuffer(req.body)) {
    return res.status(400).send('a signature header or the body is missing\n');
  }
  if (!isFresh(req.get('webhook-timestamp'))) return res.status(401).send('timestamp too far from now\n');
  if (!isGenuineStandard(req)) return res.status(401).send('wrong webhook-signature\n');
  // One of the two is enough; chargehook sends both, over the same timestamp.
  if (req.get('x-webhook-signature')) {
    if (!isFresh(req.get('x-webhook-timestamp') ?? '')) return res.status(401).send('timestamp too far from now\n');
    if (!isGenuinePlain(req)) return res.status(401).send('wrong X-Webhook-Signature\n');
  }

  // At-least-once: the same event can come twice, always under the same webhook-id.
  const id = req.get('webhook-id');
  if (seen.has(id)) return res.send('seen before\n');
  seen.add(id);
  // Answer first, work later: what takes longer than the webhook's timeout is sent again.
  res.send('ok\n');
  setImmediate(handle, req.body);
});

function handle(body) {
  const event = JSON.parse(body);
  console.log(event.event, 'from', event.station_id, JSON.stringify(event.payload));
}

const server = app.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  console.log(`receiving at http://127.0.0.1:${server.address().port}/`);
});
