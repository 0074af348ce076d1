"use strict";
// Tasks by the generic get and post of the official server SDK for Node.

const Pusher = require("pusher");

exports.tasks = async ({ config, say }) => {
  const { appId, key, secret, host, port } = config;
  const pusher = new Pusher({ appId, key, secret, host, port, useTLS: false });
  const get = async (path, params) => (await pusher.get({ path, params })).json();
  const post = async (path, body) => (await pusher.post({ path, body })).json();

  const task = { name: "thumbnail", args: { url: "größe.png" }, queue: "images", delay_ms: 60000 };
  const { id, state } = await post("/tasks", task);
  say("submit", state);
  say("batch", (await post("/batch_tasks", { batch: [task, task] })).batch.length);
  say("show", (await get(`/tasks/${id}`)).args);
  const page = await get("/tasks", { queue: "images", state: "ready,scheduled", limit: 2 });
  const next = await get("/tasks", { queue: "images", cursor: page.cursor });
  say("list", [page.tasks.length, next.tasks.length, next.cursor]);
  say("update", (await post(`/tasks/${id}/update`, { priority: 5 })).priority);
  // Without a body, as its documentation allows.
  say("cancel", (await post(`/tasks/${id}/cancel`)).state);
  say("why", (await get(`/tasks/${id}/why`)).why);
  await post("/schedules/nightly", { cron: "0 2 * * *", timezone: "Europe/Berlin", task });
  say("preview", (await get("/schedules/nightly/preview", { n: 2 })).runs.length);
  say("delete", await post("/schedules/nightly/delete"));
  const later = { name: "news", channel: "news", data: "later", delay_ms: 60000 };
  say("later", (await post("/events", later)).state);
  say("refused", await post("/tasks", { name: "" }).catch((error) => [error.status, error.body]));
};
