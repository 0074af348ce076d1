"use strict";
// pusher-js and a server with faults: what it does, told step by step until it is to end.

const Pusher = require("pusher-js");

/** With the options that the fixture gives, and reports of all that an app can hear. */
exports.watch = async ({ config, say, cue }) => {
  const pusher = new Pusher(config.key, {
    ...config.options,
    channelAuthorization: { endpoint: config.endpoint, transport: "ajax", headers: config.headers },
  });
  const connection = pusher.connection;
  connection.bind("state_change", ({ current }) => say("state", current));
  connection.bind("error", (error) => say("error", error.type ?? error));
  connection.bind("connected", () =>
    say("connected", [connection.socket_id, connection.connection.transport.name]),
  );
  for (const name of config.channels) {
    const channel = pusher.subscribe(name);
    channel.bind("pusher:subscription_succeeded", () => say("subscribed", name));
    channel.bind("pusher:subscription_error", (error) => say("not subscribed", error));
    channel.bind("news", (data) => say(name, data));
  }
  await cue("end");
  pusher.disconnect();
};
