// A webhook receiver to copy that reads {id, type, createdAt, data}; no packages needed.
//
//   WEBHOOK_SECRET=whsec_... node envelope.js
//
// The webhook for it is made with "format": "envelope". WEBHOOK_SECRET is its `signing_secret`; PORT is 4000
// unless set.
'use strict';

const crypto = require('node:crypto');
const http = require('node:http');

// The key is not the text: it is the bytes that the base64 after whsec_ stands for.
const key = Buffer.from((process.env.WEBHOOK_SECRET ?? '').replace(/^whsec_/, ''), 'base64');
if (key.length === 0) {
  console.error('set WEBHOOK_SECRET to the signing_secret of the webhook');
  process.exit(2);
}
// How far the sender's clock may be from ours: what is older may be a replay.
const TOLERANCE_S = 5 * 60;
const LARGEST_BODY = 2 * 1024 * 1024;

// The ids seen so far: an event can come twice. In production: a unique column in your database, written
// in the same transaction as what the event changes, so that it survives a restart.
const seen = new Set();

// X-Webhook-Signature: HMAC-SHA256 over `timestamp.body`, in hex after `sha256=`.
function isGenuine(headers, body) {
  const timestamp = headers['x-webhook-timestamp'] ?? '';
  if (!/^\d+$/.test(timestamp) || Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE_S) return false;
  const mac = crypto.createHmac('sha256', key).update(`${timestamp}.`).update(body);
  const expected = Buffer.from(`sha256=${mac.digest('hex')}`);
  const given = Buffer.from(headers['x-webhook-signature'] ?? '');
  // timingSafeEqual takes the same time whatever differs, so it gives no hints to a forger.
  return expected.length === given.length && crypto.timingSafeEqual(expected, given);
}

function receive(headers, body) {
  if (!isGenuine(headers, body)) return 401;
  let message;
  try {
    message = JSON.parse(body);
  } catch {
    return 400;
  }
  const { id, type, createdAt, data } = message;
  if (!id || !type || !createdAt || !data) return 400;
  if (!seen.has(id)) {
    seen.add(id);
    // Answer first, work later: what takes longer than the webhook's timeout is sent again.
    if (!message.isTest) setImmediate(handle, headers['x-webhook-delivery-id'], type, createdAt, data);
  }
  return 204;
}

function handle(deliveryId, type, createdAt, data) {
  console.log(createdAt, type, 'from', data.station_id, JSON.stringify(data.payload), 'by', deliveryId);
}

const server = http.createServer((request, response) => {
  const chunks = [];
  let length = 0;
  request.on('data', (chunk) => {
    length += chunk.length;
    if (length > LARGEST_BODY) request.destroy();
    else chunks.push(chunk);
  });
  request.on('end', () => {
    const status = request.method === 'POST' ? receive(request.headers, Buffer.concat(chunks)) : 405;
    response.writeHead(status).end();
  });
});
server.listen(Number(process.env.PORT ?? 4000), '127.0.0.1', () => {
  console.log(`receiving at http://127.0.0.1:${server.address().port}/`);
});
