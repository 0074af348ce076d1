"use strict";
// pusher-js as an app on Pusher has it, but for the host and port of another server.

const Pusher = require("pusher-js");

/** A client of the app `config.key`, signed in at the app's backend as `user`. */
exports.connect = (config, user, options = {}) =>
  new Pusher(config.key, {
    cluster: "",
    wsHost: config.host,
    wsPort: config.port,
    wssPort: config.port,
    forceTLS: false,
    enabledTransports: ["ws", "wss"],
    channelAuthorization: {
      endpoint: config.endpoint,
      transport: "ajax",
      headers: { Authorization: `Bearer ${user}` },
    },
    ...options,
  });

/** The data of the next `event` that `emitter` (a channel or a connection) fires. */
exports.once = (emitter, event) =>
  new Promise((resolve) => {
    const handler = (data) => {
      emitter.unbind(event, handler);
      resolve(data);
    };
    emitter.bind(event, handler);
  });

/** Subscribes, and waits until the server has confirmed it. */
exports.subscribe = async (pusher, name) => {
  const channel = pusher.subscribe(name);
  await exports.once(channel, "pusher:subscription_succeeded");
  return channel;
};
