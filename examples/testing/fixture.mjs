// A Pusher server for tests: `callboard fixture`, and calls of its pages.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Starts it; it ends with stop(), and with this process however that ends. */
export async function startFixture() {
  const child = spawn("callboard", ["fixture", "--end-with-parent"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let about;
  for await (const line of createInterface({ input: child.stdout })) {
    about = JSON.parse(line);
    break;
  }
  if (!about) throw new Error("callboard fixture has not started");

  async function call(method, path, { query = {}, body } = {}) {
    const url = `${about.fixture}${path}?${new URLSearchParams(query)}`;
    const answer = await fetch(url, { method, body: body && JSON.stringify(body) });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.error);
    return said;
  }

  return {
    ...about,
    get: (path, query) => call("GET", path, { query }),
    post: (path, body) => call("POST", path, { body }),
    /** Runs `act` while something goes wrong; if that throws, the next reset ends the fault. */
    async withFault(described, act) {
      const { fault } = await call("POST", "/faults", { body: described });
      await act(fault);
      return (await call("DELETE", `/faults/${fault.id}`)).fault;
    },
    stop: () => child.kill(),
  };
}
