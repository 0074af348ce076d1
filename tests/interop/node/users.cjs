"use strict";
// pusher-js signed in as a user of the app.

const { connect, once, seen, signedIn, signin, subscribe } = require("./connect.cjs");

/** Signs in one client per name in `config.users`, and reports what each hears. */
exports.signin = async ({ config, say, cue }) => {
  for (const user of config.users) {
    const pusher = await signin(config, user);
    pusher.user.bind("news", (data) => say(`${user} hears`, data));
    say("signed in", pusher.user.user_data);
  }
  await cue("end");
};

/** Signs in, which the server refuses, and goes on as nobody. */
exports.refused = async ({ config, say }) => {
  const pusher = connect(config, "alice");
  const error = once(pusher.connection, "error");
  pusher.signin();
  say("error", (await error).data);
  say("user", pusher.user.user_data);
  await subscribe(pusher, config.channel);
  say("state", pusher.connection.state);
};

/** Signs in with more friends than the server watches. */
exports.tooManyFriends = async ({ config, say }) => {
  const pusher = connect(config, config.user);
  const error = once(pusher.connection, "error");
  pusher.user.watchlist.bind("offline", ({ user_ids }) => say("offline", user_ids.length));
  pusher.signin();
  say("error", (await error).data);
  await signedIn(pusher);
  say("state", pusher.connection.state);
};

/** pusher-js signs in again by itself on each new connection. */
exports.signinAgain = async ({ config, say, cue }) => {
  const pusher = await signin(config, config.user);
  pusher.user.bind("news", (data) => say("news", data));
  const first = pusher.connection.socket_id;
  pusher.disconnect();
  const back = signedIn(pusher);
  pusher.connect();
  await back;
  say("another connection", pusher.connection.socket_id !== first);
  await cue("end");
};

/** alice watches; bob, who is there already, comes once more, then carol; all leave one by one. */
exports.watchlist = async ({ config, say, cue }) => {
  const { alice, bob, carol } = config.names;
  const come = async (user) => {
    const tab = await signin(config, user);
    await subscribe(tab, config.channel);
    return tab;
  };
  const tabs = [await come(bob)];
  const watcher = connect(config, alice);
  for (const event of ["online", "offline"]) {
    watcher.user.watchlist.bind(event, ({ name, user_ids }) =>
      say("alice hears", [event, name, user_ids]),
    );
  }
  watcher.user.bind("news", (data) => say("alice hears", data));
  watcher.signin();
  await signedIn(watcher);
  say("watching");

  for (const user of [bob, carol]) {
    await cue("comes");
    tabs.push(await come(user));
    say("came");
  }
  for (const tab of tabs) {
    await cue("goes");
    tab.disconnect();
  }
  await cue("end");
};

/** Reports what becomes of the clients of `config.users` when some are terminated. */
exports.terminated = async ({ config, say, cue }) => {
  const reports = {};
  const tabs = [];
  for (const [name, user] of Object.entries(config.users)) {
    const pusher = await signin(config, user);
    const report = (reports[name] = { states: [], codes: [] });
    pusher.connection.bind("state_change", ({ current }) => {
      report.states.push(current);
      if (current === "disconnected") say("gone", name);
    });
    pusher.connection.bind("error", (error) => report.codes.push(error.data ?? error.error.data));
    tabs.push(pusher);
  }
  const stranger = await subscribe(connect(config, config.users.alice), config.channel);
  stranger.bind("news", (data) => say("stranger hears", data));
  say("signed in");
  await cue("all gone");
  // pusher-js waits a second at most before it tries again.
  await new Promise((resolve) => setTimeout(resolve, 1300));
  say("reports", reports);

  // The app may let the user come back, which takes a call of its own.
  const back = signedIn(tabs[0]);
  tabs[0].connect();
  say("back", (await back).user.user_data.id);
  await cue("end");
};

/** Presence without channel_data: members are who they signed in as. */
exports.presence = async ({ config, say, cue }) => {
  const { alice, bob } = config.names;
  const room = await subscribe(await signin(config, alice), config.channel);
  say("alice alone", seen(room.members));
  room.bind("pusher:member_added", ({ id, info }) => say("alice hears", ["added", id, info]));
  room.bind("pusher:member_removed", ({ id, info }) => say("alice hears", ["removed", id, info]));
  room.bind("client-hello", (data, metadata) => say("alice hears", [data, metadata]));

  // At once, not after the sign-in: pusher-js itself lets the subscription wait for it.
  const other = connect(config, bob);
  other.signin();
  const channel = await subscribe(other, config.channel);
  say("bob joins", seen(channel.members));
  channel.trigger("client-hello", "hello");
  await cue("bob leaves");
  other.disconnect();
  await cue("end");
};

/** The same without a sign-in; sent by hand, since pusher-js would not. */
exports.nobody = async ({ config, say }) => {
  const pusher = connect(config, "alice");
  await once(pusher.connection, "connected");
  const response = await fetch(`${config.backend}/pusher/auth`, {
    method: "POST",
    headers: { Authorization: "Bearer alice" },
    body: new URLSearchParams({
      socket_id: pusher.connection.socket_id,
      channel_name: config.channel,
    }),
  });
  const { auth } = await response.json();
  const error = once(pusher.connection, "error");
  pusher.send_event("pusher:subscribe", { channel: config.channel, auth });
  say("error", (await error).data);
};
