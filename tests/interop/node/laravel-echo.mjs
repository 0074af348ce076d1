// Laravel Echo, set up as Laravel's "Broadcasting" page shows for Reverb and for Pusher Channels.

import Echo from "laravel-echo";
import Pusher from "pusher-js";

function connect(config, user) {
  return new Echo({
    broadcaster: config.broadcaster,
    Pusher,
    key: config.key,
    // Reverb has no clusters, and Echo says so to pusher-js; with "pusher" the app does.
    ...(config.broadcaster === "pusher" ? { cluster: "" } : {}),
    wsHost: config.host,
    wsPort: config.port,
    wssPort: config.port,
    forceTLS: false,
    enabledTransports: ["ws", "wss"],
    authEndpoint: `${config.backend}/broadcasting/auth`,
    bearerToken: user,
  });
}

const subscribed = (channel) => new Promise((resolve) => channel.subscribed(resolve));

export async function listening({ config, say, cue }) {
  const echo = connect(config, "alice");
  const order = echo.channel(config.name);
  order.listen("OrderShipped", (event) => say("public", event));
  const orders = echo.private(config.name);
  orders
    .listen("OrderShipped", (event) => say("private", event))
    .listen(".order.named", (event) => say("named", event))
    .notification((notification) => say("notification", notification));
  await Promise.all([subscribed(order), subscribed(orders)]);
  say("ready", [echo.socketId(), echo.connectionStatus()]);
  await cue("leave");
  echo.leave(config.name);
  const last = echo.channel(`${config.name}-last`);
  last.listen("OrderShipped", (event) => say("last", event));
  await subscribed(last);
  say("left");
  await cue("end");
}

export async function whispers({ config, say }) {
  const [alice, bob] = ["alice", "bob"].map((user) => connect(config, user).private(config.name));
  await Promise.all([subscribed(alice), subscribed(bob)]);
  const whispered = new Promise((resolve) => bob.listenForWhisper("typing", resolve));
  alice.whisper("typing", { name: "Alice" });
  say("bob hears", await whispered);
}

export async function presence({ config, say, cue }) {
  const room = connect(config, "bob").join(config.name);
  const here = new Promise((resolve) => room.here(resolve));
  room.joining((user) => say("joining", user)).leaving((user) => say("leaving", user));
  room.listen("NewMessage", (event) => say("message", event));
  room.listenForWhisper("typing", (event) => say("whisper", event));
  say("bob: here", await here);

  const echo = connect(config, "alice");
  const other = echo.join(config.name);
  say("alice: here", await new Promise((resolve) => other.here(resolve)));
  other.whisper("typing", { name: "Alice" });
  await cue("leave");
  echo.leave(config.name);
  await cue("end");
}

export async function restart({ config, say, cue }) {
  const room = connect(config, "bob").join(config.name);
  room.here((users) => say("here", users));
  room.listen("NewMessage", (event) => say("message", event));
  await cue("end");
}
