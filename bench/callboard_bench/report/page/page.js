// Shows under the pointer what the lines of a plot say there, and lets one round be looked at.
// Without it the page is whole: every figure is in a table besides.
"use strict";

function made(parent, name, className, text) {
  const found = document.createElement(name);
  found.className = className;
  if (text !== undefined) found.textContent = text;
  parent.append(found);
  return found;
}

function colourOf(path) {
  return [...path.classList].find((name) => name.startsWith("target-"));
}

for (const plot of document.querySelectorAll(".plot")) {
  const lines = [...plot.querySelectorAll("path[data-points]")].map((path) => ({
    path,
    points: JSON.parse(path.dataset.points),
  }));
  let shown = [];
  let place = null;

  const clear = () => {
    for (const each of shown) each.remove();
    shown = [];
  };

  const visible = () => lines.filter(({ path }) => !path.classList.contains("off"));

  // Places along the axis at which some line has a point, for the keys.
  const places = () =>
    [...new Set(visible().flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);

  const show = (x) => {
    clear();
    const near = visible()
      .filter(({ points }) => points.length)
      .map(({ path, points }) => ({
        path,
        point: points.reduce((best, each) =>
          Math.abs(each[0] - x) < Math.abs(best[0] - x) ? each : best,
        ),
      }));
    if (!near.length) return;
    const closest = near.reduce((best, each) =>
      Math.abs(each.point[0] - x) < Math.abs(best.point[0] - x) ? each : best,
    );
    const at = closest.point[0];
    place = at;
    const cursor = made(plot, "div", "cursor");
    cursor.style.left = `${at}%`;
    const readout = made(plot, "div", "readout");
    readout.setAttribute("role", "status");
    made(readout, "b", "", closest.point[2]);
    shown.push(cursor, readout);
    for (const { path, point } of near) {
      // A line that has ended says nothing here; that ends of curves differ a little is no reason.
      if (Math.abs(point[0] - at) > 1 && point[2] !== closest.point[2]) continue;
      const round = path.dataset.round ? `, ${path.dataset.round}` : "";
      const row = made(readout, "div", "");
      made(row, "span", `key ${colourOf(path)}`);
      row.append(`${path.dataset.name}${round}: ${point[3]}`);
      const dot = made(plot, "span", `dot ${colourOf(path)}`);
      dot.style.left = `${point[0]}%`;
      dot.style.top = `${point[1]}%`;
      shown.push(dot);
    }
    // Beside the cursor, on the side that has room.
    const room = plot.clientWidth * (1 - at / 100);
    if (room > readout.offsetWidth + 12) readout.style.left = `calc(${at}% + 12px)`;
    else if (plot.clientWidth - room > readout.offsetWidth + 12)
      readout.style.right = `calc(${100 - at}% + 12px)`;
    else readout.style.right = "0";
  };

  const point = (event) => {
    const box = plot.getBoundingClientRect();
    show((100 * (event.clientX - box.left)) / box.width);
  };
  plot.addEventListener("pointermove", point);
  plot.addEventListener("pointerdown", point); // a finger that taps does not move
  // A finger leaves as soon as it has tapped: what it asked for stays until it taps elsewhere.
  plot.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "mouse") clear();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!plot.contains(event.target)) clear();
  });
  plot.addEventListener("focusout", clear);
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    const all = places();
    if (!all.length) return;
    const from = shown.length && place !== null ? all.indexOf(place) : step > 0 ? -1 : all.length;
    show(all[Math.min(Math.max(from + step, 0), all.length - 1)]);
    event.preventDefault();
  });
}

for (const fieldset of document.querySelectorAll("fieldset")) {
  const timelines = fieldset.closest(".timelines");
  fieldset.hidden = false;
  fieldset.addEventListener("change", (event) => {
    const chosen = event.target.value;
    timelines.classList.toggle("one", chosen !== "all");
    for (const path of timelines.querySelectorAll("path"))
      path.classList.toggle("off", chosen !== "all" && path.dataset.round !== chosen);
  });
}
