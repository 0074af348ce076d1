"use strict";
// pusher-js as an app on Pusher has it, but for the host and port of another server.

const Pusher = require("pusher-js");

/** A client of the app `config.key`, known at the app's backend as `user`. */
exports.connect = (config, user, options = {}) =>
  new Pusher(config.key, {
    cluster: "",
    wsHost: config.host,
    wsPort: config.port,
    wssPort: config.port,
    httpHost: config.host,
    httpPort: config.port,
    httpsPort: config.port,
    forceTLS: false,
    enabledTransports: config.transports ?? ["ws", "wss"],
    channelAuthorization: {
      endpoint: config.endpoint ?? `${config.backend}/pusher/auth`,
      transport: "ajax",
      headers: { Authorization: `Bearer ${user}` },
    },
    userAuthentication: {
      endpoint: `${config.backend}/pusher/user-auth`,
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

/** Waits until the user is signed in and its own channel, which pusher-js then joins, is there. */
exports.signedIn = (pusher) =>
  new Promise((resolve) => {
    const handler = ({ event, channel }) => {
      if (event !== "pusher_internal:subscription_succeeded") return;
      if (channel !== `#server-to-user-${pusher.user.user_data?.id}`) return;
      pusher.connection.unbind("message", handler);
      resolve(pusher);
    };
    pusher.connection.bind("message", handler);
  });

/** Connects and signs in. */
exports.signin = (config, user) => {
  const pusher = exports.connect(config, user);
  pusher.signin();
  return exports.signedIn(pusher);
};

/** What `channel.members` says: documented as count, me and each(). */
exports.seen = (members) => {
  const everyone = {};
  members.each((member) => (everyone[member.id] = member.info));
  return { count: members.count, me: members.me, everyone };
};
