"use strict";

// Everything shown is set as text or by attribute, never parsed as HTML: names come from configurations.

const PERIOD_MS = 500;
const PATIENCE_MS = 2000;
const SHAPES = {
  running: "M8 25 19 36 40 13",
  attention: "M24 6 44 41H4ZM24 18V29M24 34.5V35.5",
  rejecting: "M11 11 37 37M37 11 11 37",
  waiting: "M17 10V38M31 10V38",
  silent: "M15 17a9 9 0 1 1 13 8c-3 1.5-4 3-4 6M24 38V39",
};

const page = (id) => document.getElementById(id);
let state = null;
let heardAt = performance.now();
let shownRejects = "";

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function show(id, text) {
  const place = page(id);
  if (place.textContent !== text) place.textContent = text;
}

const count = new Intl.NumberFormat("en", { useGrouping: true });
const orDash = (value, format) => (value === null || value === undefined ? "–" : format(value));

function clockTime(moment) {
  return new Date(moment).toLocaleTimeString("en-GB");
}

function when(moment) {
  const then = new Date(moment);
  if (then.toDateString() === new Date().toDateString()) return clockTime(moment);
  const day = then.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return `${day} ${clockTime(moment).slice(0, 5)}`;
}

function partNumber(reject) {
  return `Part ${reject.number}`;
}

// --- the state in words -------------------------------------------------------------------------

function silence(ms) {
  const seconds = Math.floor(ms / 1000);
  return seconds < 100 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

function showHeadline(headline) {
  const place = page("state");
  if (place.dataset.level !== headline.level) place.dataset.level = headline.level;
  page("shape").firstElementChild.setAttribute("d", SHAPES[headline.level]);
  // A lane's name does not break at its hyphen.
  show("title", headline.title.replaceAll("-", "\u2011"));
  show("detail", headline.detail);
}

// --- lanes --------------------------------------------------------------------------------------

function chosenLane() {
  // Encoded as in the tabs: what somebody typed may not be decodable.
  const wanted = location.hash.slice(1);
  return state.lanes.find((lane) => encodeURIComponent(lane.name) === wanted) ?? state.lanes[0];
}

function showLanes(chosen) {
  const tabs = page("lanes");
  tabs.hidden = state.lanes.length < 2;
  const names = state.lanes.map((lane) => lane.name);
  if (tabs.dataset.names !== JSON.stringify(names)) {
    tabs.dataset.names = JSON.stringify(names);
    tabs.replaceChildren(
      ...names.map((name) => {
        const shape = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        shape.setAttribute("viewBox", "0 0 48 48");
        shape.setAttribute("aria-hidden", "true");
        shape.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
        return element("a", { href: `#${encodeURIComponent(name)}` }, shape, element("span", { textContent: name }));
      }),
    );
  }
  state.lanes.forEach((lane, place) => {
    const tab = tabs.children[place];
    tab.dataset.level = lane.headline.level;
    tab.title = lane.headline.title;
    tab.querySelector("path").setAttribute("d", SHAPES[lane.headline.level]);
    if (lane === chosen) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  });
}

// --- numbers ------------------------------------------------------------------------------------

function showNumbers(lane) {
  for (const counter of ["passed", "rejected"]) {
    show(counter, count.format(lane[counter]));
    page(counter).style.setProperty("--length", page(counter).textContent.length);
  }
  show("rate", orDash(lane.reject_percent, (percent) => `${percent.toFixed(percent < 10 ? 1 : 0)} %`));
  show("speed", orDash(lane.parts_per_s, (speed) => speed.toFixed(1)));
  show("latency", orDash(lane.latency_p50_ms, (ms) => `${Math.round(ms)} ms`));
  show("slowest", lane.latency_p99_ms === null ? "" : `99 % in ${Math.round(lane.latency_p99_ms)} ms`);
  show("since", orDash(state.started, (seconds) => when(seconds * 1000)));

  const most = Math.max(1, ...lane.reasons.map((reason) => reason.count));
  page("reasons").replaceChildren(
    ...lane.reasons.map((reason) => {
      const bar = element("i");
      bar.style.width = `${Math.max(1, (100 * reason.count) / most)}%`;
      return element(
        "li",
        {},
        element("span", { className: "words", textContent: reason.words }),
        element("b", { textContent: count.format(reason.count) }),
        element("div", { className: "bar" }, bar),
      );
    }),
  );
  page("no-reasons").hidden = lane.reasons.length > 0;
}

// --- rejects ------------------------------------------------------------------------------------

function address(lane, reject, kind) {
  return `/pictures/${encodeURIComponent(lane.name)}/${reject.session}/${reject.number}/${kind}.jpg`;
}

function picture(lane, reject, kind, words) {
  const kept = kind === "cup" ? reject.picture : reject.heat;
  if (!kept) return element("div", { className: "no-picture", textContent: "No picture" });
  const image = element("img", { src: address(lane, reject, kind), alt: `${words} of part ${reject.number}` });
  // Retention may have taken it meanwhile.
  image.addEventListener("error", () =>
    image.replaceWith(element("div", { className: "no-picture", textContent: "Picture no longer kept" })),
  );
  return image;
}

function framed(lane, reject) {
  const frame = element("div", { className: "framed" }, picture(lane, reject, "cup", "Picture"));
  if (!reject.picture) return frame;
  for (const [x, y, width, height] of reject.boxes) {
    const box = element("i", { className: "box" });
    const margin = 8;
    box.style.left = `${(100 * (x - margin)) / 384}%`;
    box.style.top = `${(100 * (y - margin)) / 384}%`;
    box.style.width = `${(100 * (width + 2 * margin)) / 384}%`;
    box.style.height = `${(100 * (height + 2 * margin)) / 384}%`;
    frame.append(box);
  }
  return frame;
}

function facts(reject) {
  const told = [partNumber(reject), when(reject.time)];
  if (reject.score !== null) told.push(`score ${reject.score.toFixed(2)}`);
  return told;
}

function lastReject(lane, reject) {
  const [number, time, score] = facts(reject);
  return [
    element("figure", {}, framed(lane, reject), element("figcaption", { textContent: "The cup" })),
    element("figure", {}, picture(lane, reject, "heat", "Heat map"), element("figcaption", { textContent: "Heat map" })),
    element(
      "div",
      { className: "told" },
      element("p", { className: "words", textContent: reject.words }),
      element("p", { className: "facts" }, ...[number, time, score].filter(Boolean).map((text) => element("span", { textContent: text }))),
    ),
  ];
}

function earlierReject(lane, reject) {
  const pictures = reject.picture
    ? [picture(lane, reject, "cup", "Picture"), picture(lane, reject, "heat", "Heat map")]
    : [element("div", { className: "no-picture", textContent: "No picture" })];
  return element(
    "li",
    {},
    element("div", { className: "pictures" }, ...pictures),
    element("p", { className: "words", textContent: reject.words }),
    element("p", { className: "facts" }, ...facts(reject).map((text) => element("span", { textContent: text }))),
  );
}

function showRejects(lane) {
  // At midnight what was shown by its time alone gets its day.
  const now = JSON.stringify([lane.name, lane.rejects, new Date().toDateString()]);
  if (now === shownRejects) return;
  shownRejects = now;
  const [last, ...earlier] = lane.rejects;
  page("no-rejects").hidden = last !== undefined;
  page("last").hidden = last === undefined;
  page("last").replaceChildren(...(last ? lastReject(lane, last) : []));
  page("earlier").replaceChildren(...earlier.map((reject) => earlierReject(lane, reject)));
}

// --- news ---------------------------------------------------------------------------------------

function render() {
  const quiet = performance.now() - heardAt;
  if (quiet > PATIENCE_MS) {
    document.body.classList.add("stale");
    showHeadline({
      level: "silent",
      title: `No news for ${silence(quiet)}`,
      detail: "This page has lost its computer: what is shown below is old. Check the network, and whether the computer runs.",
    });
    return;
  }
  if (state === null) return;
  const lane = chosenLane();
  document.title = `${state.line} – ${state.headline.title}`;
  document.body.classList.toggle("stale", state.headline.level === "silent");
  show("line", state.line);
  show("recipe", lane.recipe ? `Recipe ${lane.recipe}` : "");
  showHeadline(state.headline);
  showLanes(lane);
  showNumbers(lane);
  showRejects(lane);
}

async function ask() {
  const patience = new AbortController();
  const bell = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    const answer = await fetch("/api/state", { signal: patience.signal, cache: "no-store" });
    if (answer.ok) {
      state = await answer.json();
      heardAt = performance.now();
    }
  } catch {
    // The headline tells when nothing was heard for a while.
  } finally {
    clearTimeout(bell);
  }
  render();
  setTimeout(ask, PERIOD_MS);
}

setInterval(() => {
  show("clock", clockTime(Date.now()));
  render();
}, 500);
window.addEventListener("hashchange", render);
ask();
