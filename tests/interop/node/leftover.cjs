"use strict";
// pusher-js, left behind by a test: it ends when the SDK has given up for good.

const Pusher = require("pusher-js");

/** Connects with the options that the fixture gives, and tells every state it is in. */
exports.leftover = ({ config, say }) =>
  new Promise((resolve) => {
    const pusher = new Pusher(config.key, config.options);
    pusher.connection.bind("state_change", ({ current }) => {
      say("state", current);
      // Its other states, such as "unavailable", are those of who tries again.
      if (current === "disconnected") resolve();
    });
    pusher.subscribe("news").bind("news", (data) => say("news", data));
  });
