"use strict";
// pusher-js and a server that refuses: a message, or the whole connection.

const PusherServer = require("pusher");
const { connect, once, subscribe } = require("./connect.cjs");

/** Each mistake is answered on the connection's `error` event, and the connection goes on. */
exports.mistakes = async ({ config, say }) => {
  const pusher = connect(config, "alice");
  await once(pusher.connection, "connected");
  const socketId = pusher.connection.socket_id;
  const room = await subscribe(pusher, config.privateChannel);
  const open = await subscribe(pusher, config.publicChannel);

  const mistakes = {
    "channel name": () => pusher.subscribe("no spaces, please"),
    "client event on a public channel": () => open.trigger("client-x", {}),
    "client event of a stranger": () =>
      pusher.send_event("client-x", {}, config.privateChannel + "-of-others"),
    "client event too large": () => room.trigger("client-x", "x".repeat(10241)),
    "double subscription": () =>
      pusher.send_event("pusher:subscribe", { channel: config.publicChannel }),
    "unsubscribed already": () =>
      pusher.send_event("pusher:unsubscribe", { channel: config.publicChannel + "-x" }),
    "unknown event": () => pusher.send_event("pusher:dance", {}),
  };
  for (const [name, makeMistake] of Object.entries(mistakes)) {
    const error = once(pusher.connection, "error");
    makeMistake();
    say(name, (await error).data);
  }
  open.bind("news", (data) => say("news", data));
  say("unharmed", pusher.connection.socket_id === socketId);
  await once(open, "news");
};

/** A subscription that the server refuses, followed by one that it accepts. */
exports.subscription = async ({ config, say }) => {
  const pusher = connect(config, "mallory", config.options);
  await once(pusher.connection, "connected");
  const error = once(pusher.connection, "error");
  const refused = pusher.subscribe(config.channel);
  say("error", await error);
  say("subscribed", refused.subscribed);
  await subscribe(pusher, config.publicChannel);
  say("state", pusher.connection.state);
};

/** A presence channel, properly signed but for a member; pusher-js itself would not send that. */
exports.withoutMember = async ({ config, say }) => {
  const sdk = new PusherServer({ appId: config.appId, key: config.key, secret: config.secret });
  const pusher = connect(config, "alice");
  await once(pusher.connection, "connected");
  const { auth } = sdk.authorizeChannel(pusher.connection.socket_id, config.channel);
  pusher.send_event("pusher:subscribe", { channel: config.channel, auth });
  say("error", (await once(pusher.connection, "error")).data);
};

exports.tooManyClientEvents = async ({ config, say }) => {
  const alice = connect(config, "alice");
  const room = await subscribe(alice, config.channel);
  const bob = await subscribe(connect(config, "bob"), config.channel);
  let delivered = 0;
  bob.bind("client-burst", () => (delivered += 1));
  const error = once(alice.connection, "error");
  for (let n = 0; n < 11; n += 1) room.trigger("client-burst", { n });
  say("error", await error);
  const news = once(bob, "news");
  say("ready");
  await news;
  say("delivered", delivered);
  say("state", alice.connection.state);
};

/** Connections that are refused: none may try again. */
exports.connections = async ({ config, say }) => {
  const attempts = config.attempts.map(([name, key, options]) => {
    const pusher = connect({ ...config, key }, "alice", options);
    const report = { states: [pusher.connection.state], codes: [] };
    pusher.connection.bind("state_change", ({ current }) => report.states.push(current));
    pusher.connection.bind("error", (error) => report.codes.push(error.data ?? error.error.data));
    return [name, report];
  });
  // pusher-js waits a second at most before it tries again.
  await new Promise((resolve) => setTimeout(resolve, 1300));
  say("reports", Object.fromEntries(attempts));
};
