"use strict";
// The SDKs by TLS, and behind a path prefix. NODE_EXTRA_CA_CERTS names who issued the certificate.

const PusherServer = require("pusher");
const { connect, once, subscribe } = require("./connect.cjs");

/** An event from a backend to a client; `config.client` and `config.backend` say how they come. */
exports.event = async ({ config, say }) => {
  const pusher = connect(config, "alice", config.client);
  const codes = [];
  pusher.connection.bind("error", (error) => codes.push((error.data ?? error.error.data).code));
  const channel = await subscribe(pusher, config.channel);
  say("refusals", codes);
  const heard = once(channel, "news");
  const { appId, key, secret, host } = config;
  const sdk = new PusherServer({ appId, key, secret, host, ...config.backend });
  say("status", (await sdk.trigger(config.channel, "news", "by TLS")).status);
  say("news", await heard);
};
