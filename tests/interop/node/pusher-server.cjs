"use strict";
// The official server SDK for Node.

const http = require("node:http");
const Pusher = require("pusher");

const sdk = (config, options = {}) =>
  new Pusher({
    appId: config.appId,
    key: config.key,
    secret: config.secret,
    host: config.host,
    port: config.port,
    useTLS: false,
    ...options,
  });

const json = async (response) => (await response).json();

exports.trigger = async ({ config, say }) => {
  const pusher = sdk(config);
  const [first, second] = config.channels;
  say("one", await json(pusher.trigger(first, "news", { n: 1 })));
  say("several", await json(pusher.trigger([first, second], "news", { n: 2 })));
  say("batch", await json(
    pusher.triggerBatch([
      { channel: first, name: "news", data: { n: 3 } },
      { channel: second, name: "news", data: { n: 4 } },
    ]),
  ));
};

exports.exclusion = async ({ config }) => {
  const pusher = sdk(config);
  const socket_id = config.socketId;
  await pusher.trigger(config.channel, "news", "for the others", { socket_id });
  await pusher.triggerBatch([
    { channel: config.channel, name: "news", data: "for the others too", socket_id },
    { channel: config.channel, name: "news", data: "for all" },
  ]);
};

exports.info = async ({ config, say }) => {
  const pusher = sdk(config);
  const { publicChannel, presenceChannel } = config;
  const info = "user_count,subscription_count";
  say("trigger", await json(
    pusher.trigger([publicChannel, presenceChannel], "news", "x", { info }),
  ));
  say("batch", await json(
    pusher.triggerBatch([
      { channel: publicChannel, name: "news", data: "x", info: "subscription_count" },
      { channel: publicChannel, name: "news", data: "x" },
      { channel: presenceChannel, name: "news", data: "x", info },
    ]),
  ));
};

exports.state = async ({ config, say }) => {
  const pusher = sdk(config, { agent: new http.Agent({ keepAlive: true }) });
  const get = (path, params) => json(pusher.get({ path, params }));
  const { publicChannel, presenceChannel } = config;
  const both = "user_count,subscription_count";
  say("channels", await get("/channels", { filter_by_prefix: config.prefix }));
  say("presence channels", await get("/channels", {
    filter_by_prefix: presenceChannel,
    info: "user_count",
  }));
  say("public channel", await get(`/channels/${publicChannel}`, { info: "subscription_count" }));
  say("presence channel", await get(`/channels/${presenceChannel}`, { info: both }));
  say("empty channel", await get(`/channels/${publicChannel}-empty`));
  say("users", await get(`/channels/${presenceChannel}/users`));
};

/** Each call rejects with the SDK's RequestError, which holds the server's answer. */
exports.errors = async ({ config, say }) => {
  const pusher = sdk(config);
  const send = (client) => client.trigger("news", "news", "x");
  const eleven = Array.from({ length: 11 }, () => ({ channel: "news", name: "news", data: "x" }));
  const calls = {
    "wrong secret": () => send(sdk(config, { secret: "guessed" })),
    "wrong key": () => send(sdk(config, { key: "guessed" })),
    "unknown app": () => send(sdk(config, { appId: "999" })),
    "disabled app": () => send(sdk({ ...config, ...config.disabled })),
    "too large": () => pusher.trigger("news", "news", "x".repeat(10241)),
    "too large in a batch": () =>
      pusher.triggerBatch([{ channel: "news", name: "news", data: "x".repeat(10241) }]),
    "batch of 11": () => pusher.triggerBatch(eleven),
    "users of a public channel": () => pusher.get({ path: "/channels/news/users" }),
    "unknown path": () => pusher.get({ path: "/nowhere" }),
    "body beyond all bounds": () => pusher.trigger("news", "news", "x".repeat(2_000_000)),
  };
  for (const [name, call] of Object.entries(calls)) {
    await call().then(
      (response) => say(name, ["accepted", response.status]),
      (error) => say(name, [error.name, error.status, error.body]),
    );
  }
  say("afterwards", (await send(pusher)).status);
};

/** Goes on with the same client, and its kept-alive connections, whatever the server does. */
exports.restart = async ({ config, say, cue }) => {
  const pusher = sdk(config, { agent: new http.Agent({ keepAlive: true }) });
  say("status", (await pusher.trigger("news", "news", "before")).status);
  await cue("go on");
  say("status", (await pusher.trigger("news", "news", "after")).status);
};

/** Makes the calls that it is told to: a method's name and its arguments. */
exports.calls = async ({ config, say, cue }) => {
  const pusher = sdk(config, { encryptionMasterKeyBase64: config.masterKey });
  for (;;) {
    const [method, ...args] = await cue("call");
    say("answer", await json(pusher[method](...args)));
  }
};
