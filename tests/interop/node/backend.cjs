"use strict";
// An app's backend in Node, as the documentation of `pusher` writes it. Its answers are those of
// tests/support/backend.py.

const http = require("node:http");
const { text } = require("node:stream/consumers");
const Pusher = require("pusher");

exports.serve = async ({ config, say, cue }) => {
  const sdk = new Pusher({
    appId: config.appId,
    key: config.key,
    secret: config.secret,
    encryptionMasterKeyBase64: config.masterKey,
  });
  const info = (user) => ({ name: user[0].toUpperCase() + user.slice(1) });

  const answers = {
    "/pusher/auth": (user, form) => {
      const channel = form.get("channel_name");
      const named = config.channelData && channel.startsWith("presence-");
      const member = named ? { user_id: user, user_info: info(user) } : undefined;
      return sdk.authorizeChannel(form.get("socket_id"), channel, member);
    },
    "/pusher/user-auth": (user, form) =>
      sdk.authenticateUser(form.get("socket_id"), {
        id: user,
        user_info: info(user),
        watchlist: config.friends[user],
      }),
  };

  const server = http.createServer(async (request, response) => {
    const form = new URLSearchParams(await text(request));
    const user = request.headers.authorization.replace("Bearer ", "");
    const body = JSON.stringify(answers[request.url](user, form));
    response.writeHead(200, { "Content-Type": "application/json" }).end(body);
  });
  server.listen(0, "127.0.0.1", () => say("url", `http://127.0.0.1:${server.address().port}`));
  await cue("end");
};
