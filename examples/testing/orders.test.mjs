import assert from "node:assert/strict";
import { once } from "node:events";
import { after, afterEach, before, beforeEach, test } from "node:test";

import Sender from "pusher";
import Pusher from "pusher-js";

import { startFixture } from "./fixture.mjs";
import { announce, Board } from "./orders.mjs";

let fixture, sender, board;

before(async () => {
  fixture = await startFixture();
  sender = new Sender(fixture.pusher_node_options);
});
after(() => fixture.stop());

beforeEach(async () => {
  await fixture.post("/reset");
  board = new Board(new Pusher(fixture.key, fixture.pusher_js_options));
  await fixture.get("/wait/subscription", { channel: "orders" });
});
afterEach(() => board.close());

test("an order is announced once", async () => {
  await announce(sender, 7);
  const { events } = await fixture.get("/events", { channel: "orders" });
  assert.deepEqual(events.map((event) => [event.name, event.data]), [["created", '{"number":7}']]);
});

test("the board shows an order", async () => {
  const shown = once(board, "order");
  await fixture.post("/trigger", { channel: "orders", name: "created", data: { number: 8 } });
  assert.deepEqual(await shown, [8]);
});

test("an order is announced although the service fails twice", async () => {
  const fault = await fixture.withFault({ fault: "rest_status", status: 503, first: 2 }, () =>
    announce(sender, 9),
  );
  assert.equal(fault.hits, 2);
  await fixture.get("/wait", { channel: "orders", name: "created", timeout: 0 });
});

test("the board shows an order twice delivered once", async () => {
  const shown = once(board, "order");
  await fixture.withFault({ fault: "duplicate", channel: "orders" }, () => announce(sender, 10));
  await announce(sender, 11);
  await shown;
  while (board.numbers.length < 2) await once(board, "order");
  assert.deepEqual(board.numbers, [10, 11]);
});

test("the board is back after it was sent away", async () => {
  await fixture.withFault({ fault: "close", code: 4200 }, async ({ id }) => {
    await fixture.get("/wait/reconnection", { fault: id });
  });
  await fixture.get("/wait/subscription", { channel: "orders" });
  const shown = once(board, "order");
  await announce(sender, 12);
  assert.deepEqual(await shown, [12]);
});

test("a wait in vain says what came instead", async () => {
  await announce(sender, 13);
  await assert.rejects(fixture.get("/wait", { name: "cancelled", timeout: 0.01 }), (error) => {
    assert.match(error.message, /^no event 'cancelled' within 0.01 s\n/);
    assert.match(error.message, /orders {2}created {2}\{"number":13\}/);
    return true;
  });
});
