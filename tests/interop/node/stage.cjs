"use strict";
// Runs one scenario: node stage.cjs FILE SCENARIO CONFIG
//
// FILE exports scenarios, async functions of { config, say, cue }. A scenario reports to the test
// with say(name, data), a JSON line [name, data] on stdout, and waits for it with
// `await cue(name)`, a line of the same form on stdin. The process ends when the scenario does.

const readline = require("node:readline");

const [file, scenario, config] = process.argv.slice(2);
const arrived = [];
const awaited = new Map();

function say(name, data = null) {
  process.stdout.write(JSON.stringify([name, data]) + "\n");
}

function cue(name) {
  const place = arrived.findIndex(([other]) => other === name);
  if (place >= 0) return Promise.resolve(arrived.splice(place, 1)[0][1]);
  return new Promise((resolve) => awaited.set(name, resolve));
}

const lines = readline.createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const [name, data] = JSON.parse(line);
  if (!awaited.has(name)) return arrived.push([name, data]);
  awaited.get(name)(data);
  awaited.delete(name);
});
// Nobody is left to hear: do not outlive the test.
lines.on("close", () => process.exit(1));

import(file)
  .then((scenarios) => scenarios[scenario]({ config: JSON.parse(config), say, cue }))
  .then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
