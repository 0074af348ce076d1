// The app under test: a shop that announces orders, and a board in the kitchen that shows them.

import { EventEmitter } from "node:events";

/** Announces an order by the server SDK, and tries again when the service fails. */
export async function announce(pusher, number, tries = 3) {
  try {
    await pusher.trigger("orders", "created", { number });
  } catch (error) {
    if (tries === 1) throw error;
    await announce(pusher, number, tries - 1);
  }
}

/** Shows orders by pusher-js; emits `order` for each. */
export class Board extends EventEmitter {
  numbers = [];

  constructor(pusher) {
    super();
    this.pusher = pusher;
    pusher.subscribe("orders").bind("created", ({ number }) => {
      if (this.numbers.includes(number)) return;
      this.numbers.push(number);
      this.emit("order", number);
    });
  }

  close() {
    this.pusher.disconnect();
  }
}
