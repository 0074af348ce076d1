"use strict";
// What a test has pusher-js do in a page, and what the page tells it: see tab.py.

const clients = new Map();
const reports = new Map();
const awaited = new Map();

/** Keeps `report` under `name` until the test takes it. */
function say(name, report = null) {
  if (!reports.has(name)) reports.set(name, []);
  reports.get(name).push(report);
  awaited.get(name)?.();
}

/** Takes the next `count` reports under `name`, as soon as there are so many. */
async function hear(name, count) {
  while ((reports.get(name) ?? []).length < count) {
    await new Promise((resolve) => awaited.set(name, resolve));
  }
  return reports.get(name).splice(0, count);
}

/** The number of reports under each name that the test has not taken. */
function untaken() {
  return Object.fromEntries([...reports].map(([name, { length }]) => [name, length]));
}

/** Starts a client known at the app's backend, the page's own server, as `user`. */
function connect(user, key, options) {
  const pusher = new Pusher(key, {
    cluster: "",
    channelAuthorization: {
      endpoint: "/pusher/auth",
      transport: "ajax",
      headers: { Authorization: `Bearer ${user}` },
    },
    ...options,
  });
  pusher.connection.bind("state_change", ({ current }) => {
    say(`${user}: ${current}`, pusher.connection.socket_id);
  });
  pusher.connection.bind("error", ({ error }) => say(`${user}: error`, error?.data ?? null));
  clients.set(user, pusher);
}

/** Subscribes, and reports `events` on the channel as [data, metadata]. */
function subscribe(user, name, events) {
  const channel = clients.get(user).subscribe(name);
  for (const event of events) {
    channel.bind(event, (...heard) => say(`${user}: ${event} on ${name}`, heard));
  }
}

function trigger(user, channel, event, data) {
  return clients.get(user).channel(channel).trigger(event, data);
}

function disconnect(user) {
  clients.get(user).disconnect();
}

/** What `channel.members` says: documented as count, me and each(). */
function members(user, name) {
  const { members } = clients.get(user).channel(name);
  const everyone = {};
  members.each(({ id, info }) => (everyone[id] = info));
  return { count: members.count, me: members.me, everyone };
}
