"use strict";
// pusher-js and a server that lets it in.

const Pusher = require("pusher");
const { connect, once, seen, subscribe } = require("./connect.cjs");

exports.connection = async ({ config, say }) => {
  const pusher = connect(config, "alice");
  const states = [pusher.connection.state];
  pusher.connection.bind("state_change", ({ current }) => states.push(current));
  await once(pusher.connection, "connected");
  say("socket_id", pusher.connection.socket_id);
  pusher.disconnect();
  say("states", states);
};

/** Reports each event on the given channels until it is told to end. */
exports.listen = async ({ config, say, cue }) => {
  const pusher = connect(config, "alice");
  for (const name of config.channels) {
    const channel = await subscribe(pusher, name);
    channel.bind(config.event, (data) => say(name, data));
  }
  say("subscribed", pusher.connection.socket_id);
  await cue("end");
};

exports.order = async ({ config, say }) => {
  const channel = await subscribe(connect(config, "alice"), config.channel);
  say("subscribed");
  const numbers = [];
  await new Promise((resolve) =>
    channel.bind("count", ({ n }) => {
      numbers.push(n);
      if (numbers.length === config.count) resolve();
    }),
  );
  say("numbers", numbers);
};

exports.presence = async ({ config, say, cue }) => {
  const room = await subscribe(connect(config, "bob"), config.channel);
  say("bob alone", seen(room.members));
  room.bind("pusher:member_added", ({ id, info }) => say("bob hears", ["added", id, info]));
  room.bind("pusher:member_removed", ({ id, info }) => say("bob hears", ["removed", id, info]));
  room.bind("news", (data) => say("bob hears", ["news", data]));

  const tabs = [connect(config, "alice"), connect(config, "alice")];
  for (const tab of tabs) {
    say("alice joins", seen((await subscribe(tab, config.channel)).members));
  }
  for (const tab of tabs) {
    await cue("close a tab");
    tab.disconnect();
  }
  await cue("end");
  say("bob at last", seen(room.members));
};

exports.clientEvents = async ({ config, say }) => {
  const alice = await subscribe(connect(config, "alice"), config.channel);
  const bob = await subscribe(connect(config, "bob"), config.channel);
  alice.bind("client-greeting", () => say("echo to the sender"));
  for (const data of [{ text: "hello" }, "a string", ["a", "list"], { text: "žluťoučký 🐴" }]) {
    const arrival = new Promise((resolve) => {
      bob.unbind("client-greeting");
      bob.bind("client-greeting", (heard, metadata) => resolve([heard, metadata]));
    });
    alice.trigger("client-greeting", data);
    say("bob hears", await arrival);
  }
  const answer = once(alice, "client-answer");
  bob.trigger("client-answer", { text: "hello yourself" });
  say("alice hears", await answer);
};

/** Answers each question with what it asked. */
exports.conversation = async ({ config, say, cue }) => {
  const channel = await subscribe(connect(config, "alice"), config.channel);
  channel.bind("client-question", (data, metadata) => {
    say("question", [data, metadata]);
    channel.trigger("client-answer", data);
  });
  say("subscribed");
  await cue("end");
};

/** Listens below the channels, which pusher-js forgets at once, to all that the server sends. */
exports.unsubscribe = async ({ config, say, cue }) => {
  const pusher = connect(config, "alice");
  pusher.connection.bind("message", ({ event, channel, data }) => {
    if (event === "news") say("message", [channel, data]);
  });
  await subscribe(pusher, config.left);
  await subscribe(pusher, config.kept);
  say("subscribed");
  await cue("leave");
  pusher.unsubscribe(config.left);
  await cue("come back");
  const again = await subscribe(pusher, config.left);
  again.bind("news", (data) => say("event", data));
  say("subscribed");
  await cue("end");
};

/** Reports by what transport it came, and what it sees of the server's answers to its pings. */
exports.fallbackKeepAlive = async ({ config, say, cue }) => {
  const pusher = connect(config, "alice", { activityTimeout: 200, pongTimeout: 1000 });
  await once(pusher.connection, "connected");
  const transport = pusher.connection.connection.transport;
  say("transport", transport.name);
  pusher.connection.bind("state_change", ({ current }) => say("state", current));
  let pings = 0;
  const ping = transport.ping.bind(transport);
  transport.ping = () => {
    pings += 1;
    ping();
    if (pings === 4) say("pinged four times", pusher.connection.state);
  };
  await cue("end");
};

/** Pings are not events of the SDK; the pongs pass by as messages of the connection. */
exports.keepAlive = async ({ config, say }) => {
  const pusher = connect(config, "alice", { activityTimeout: 200, pongTimeout: 1000 });
  await once(pusher.connection, "connected");
  const socketId = pusher.connection.socket_id;
  pusher.connection.bind("state_change", ({ current }) => say("state", current));
  for (let pongs = 0; pongs < 4; ) {
    const message = await once(pusher.connection, "message");
    if (message.event === "pusher:pong") pongs += 1;
  }
  say("same connection", pusher.connection.socket_id === socketId);
};

/** As the documentation's Express endpoint does, but asked without the detour over HTTP. */
exports.signedByNode = async ({ config, say }) => {
  const sdk = new Pusher({ appId: config.appId, key: config.key, secret: config.secret });
  const pusher = connect(config, "alice", {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) => {
        const member = { user_id: "alice", user_info: { name: "Ålice" } };
        const data = channelName.startsWith("presence-") ? member : undefined;
        callback(null, sdk.authorizeChannel(socketId, channelName, data));
      },
    },
  });
  await subscribe(pusher, config.privateChannel);
  say("members", seen((await subscribe(pusher, config.presenceChannel)).members));
};

/** The same library signs, encrypts and triggers; its data is decrypted by pusher-js. */
exports.encrypted = async ({ config, say, cue }) => {
  const sdk = new Pusher({
    appId: config.appId,
    key: config.key,
    secret: config.secret,
    host: config.host,
    port: config.port,
    encryptionMasterKeyBase64: config.masterKey,
  });
  const pusher = connect(config, "alice", {
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, callback) =>
        callback(null, sdk.authorizeChannel(socketId, channelName)),
    },
  });
  const news = once(await subscribe(pusher, config.channel), "news");
  await cue("trigger");
  await sdk.trigger(config.channel, "news", { text: "between us" });
  say("decrypted", await news);
};

/** Reports how many subscribers alice is told of, while bob comes and goes. */
exports.subscriptionCount = async ({ config, say, cue }) => {
  const channel = connect(config, "alice").subscribe(config.channel);
  channel.bind("pusher:subscription_count", ({ subscription_count }) =>
    say("alice hears", ["count", subscription_count, channel.subscriptionCount]),
  );
  channel.bind("news", (data) => say("alice hears", ["news", data]));
  await once(channel, "pusher:subscription_succeeded");
  say("subscribed");
  const bob = connect(config, "bob");
  for (const leave of [() => bob.unsubscribe(config.channel), () => bob.disconnect()]) {
    await cue("bob comes");
    await subscribe(bob, config.channel);
    say("subscribed");
    await cue("bob leaves");
    leave();
  }
  await cue("end");
};
