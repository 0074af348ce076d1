"use strict";
// Clients that stay while servers go and come.

const { connect } = require("./connect.cjs");

/** Two users who listen and, on being told, greet each other. */
exports.pusherJs = async ({ config, say, cue }) => {
  for (const user of ["alice", "bob"]) {
    const pusher = connect(config, user);
    pusher.connection.bind("connected", () => say(`${user} connected`, pusher.connection.socket_id));
    for (const name of config.channels) {
      const channel = pusher.subscribe(name);
      channel.bind("pusher:subscription_succeeded", () => say(`${user} subscribed`, name));
      channel.bind("news", (data) => say(`${user} hears`, [name, data]));
      channel.bind("client-greeting", (data) => say(`${user} greeted`, [name, data]));
    }
    cue(`${user} greets`).then((name) => pusher.channel(name).trigger("client-greeting", { user }));
  }
  await cue("end");
};
