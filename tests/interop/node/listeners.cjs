"use strict";
// pusher-js on one channel, a client after the other: all that each of them hears, in order.

const { connect } = require("./connect.cjs");

/** Lets whoever is called in join `config.channel`, and triggers client events for the first. */
exports.listeners = async ({ config, say, cue }) => {
  let first;
  for (;;) {
    const user = await cue("joins");
    const channel = connect(config, user).subscribe(config.channel);
    channel.bind_global((event, data) => {
      if (event.startsWith("pusher:member_")) return;
      // With a presence channel it comes with the members, which have tests of their own.
      say(user, event === "pusher:subscription_succeeded" ? [event] : [event, data]);
    });
    first ??= channel;
    if (first === channel) cue("whisper").then((data) => channel.trigger("client-whisper", data));
  }
};
