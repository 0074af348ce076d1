"use strict";
// Webhooks in Node: who causes them, and who is told.

const http = require("node:http");
const { text } = require("node:stream/consumers");
const Pusher = require("pusher");
const { connect, once, subscribe } = require("./connect.cjs");

/** The README's check of `pusher`: reports each request by its path, if it is the server's. */
exports.receive = async ({ config, say, cue }) => {
  const sdk = new Pusher(config);
  const server = http.createServer(async (request, response) => {
    const received = { headers: request.headers, rawBody: await text(request) };
    const webhook = sdk.webhook(received);
    // Python's library checks the time by itself.
    const genuine = webhook.isValid() && Math.abs(Date.now() - webhook.getTime()) < 300_000;
    say(request.url, genuine ? webhook.getEvents() : ["refused", received]);
    response.writeHead(204).end();
  });
  server.listen(0, "127.0.0.1", () => say("url", `http://127.0.0.1:${server.address().port}`));
  await cue("end");
};

/** Causes all seven events. */
exports.allSeven = async ({ config, say, cue }) => {
  const { presenceChannel, cacheChannel } = config;
  const alice = connect(config, "alice");
  const bob = connect(config, "bob");
  const room = await subscribe(alice, presenceChannel);
  await subscribe(bob, presenceChannel);
  say("joined", alice.connection.socket_id);
  await cue("go on");
  const heard = once(bob.channel(presenceChannel), "client-hello");
  room.trigger("client-hello", { text: "žluťoučký 🐴" });
  await heard;
  await once(alice.subscribe(cacheChannel), "pusher:cache_miss");
  say("missed");
  await cue("go on");
  for (const pusher of [bob, alice]) pusher.unsubscribe(presenceChannel);
  alice.unsubscribe(cacheChannel);
  await cue("end");
};

/** alice's connection is lost and she comes back; bob's is, and he does not. */
exports.cutOff = async ({ config, say, cue }) => {
  const [alice, bob] = ["alice", "bob"].map((user) => connect(config, user));
  for (const pusher of [alice, bob]) await subscribe(pusher, config.channel);
  say("joined");
  await cue("cut off");
  alice.disconnect();
  bob.disconnect();
  const back = once(alice.channel(config.channel), "pusher:subscription_succeeded");
  alice.connect();
  await back;
  await cue("end");
};
