// Ties the page together: two sockets in, one place for commands out, and the judgement whether what is shown is still true.

import { StationClock } from "/pages/clock.js";
import { Commands } from "/pages/commands.js";
import { EventList } from "/pages/events.js";
import { SteadySocket } from "/pages/socket.js";
import * as view from "/pages/view.js";
import { CameraWall } from "/pages/wall.js";
import { ago, stateName } from "/pages/words.js";

const SILENT_MS = 1200; // state comes five times a second; the banner must stand within two seconds
const PING_MS = 1000;

const clock = new StationClock();
const wall = new CameraWall(clock);
const commands = new Commands(clock);
const events = new EventList();
const trend = new view.RateTrend();
const banner = document.getElementById("banner");

let state = null;
let heardMs = performance.now();
let openedMs = 0;
let everHeard = false;

const socket = new SteadySocket("/ws/state", {
  open() {
    openedMs = performance.now();
    ping();
  },
  message(text, receivedMs) {
    const message = JSON.parse(text);
    heardMs = receivedMs;
    if (message.echo) return clock.add(message.echo.page_ms, message.echo.received_ns, message.sent_ns, receivedMs);
    if (!everHeard || document.body.classList.contains("dead")) {
      commands.refreshRole(); // a restarted panel may know us otherwise
      events.begin();
    }
    everHeard = true;
    state = message;
    show();
  },
  closed: judge,
});

function ping() {
  socket.send({ page_ms: performance.now() });
}

function stationNowMs() {
  if (!clock.known) return null;
  return clock.ageMs(0, performance.now());
}

function show() {
  const nowMs = stationNowMs();
  view.showMode(state);
  view.showLinks(state);
  view.showCounts(state.counts);
  view.showTiming(state);
  view.showItems(state.items, nowMs);
  view.showAlarms(state.alarms, (values) => commands.send(values));
  const name = view.showMachine(state, nowMs);
  trend.add(performance.now(), state.counts?.total);
  events.add(state.events);
  wall.follow(state.cameras ?? []);
  commands.follow(state.machine, name, judge());
}

// Is what the page shows still the truth? Says so across the page when it is not.
function judge() {
  const silentMs = performance.now() - heardMs;
  const stationAgeMs = state?.made_ns ? (clock.ageMs(state.made_ns, performance.now()) ?? silentMs) : null;
  let trouble = null;
  if (!socket.open || silentMs > SILENT_MS) trouble = ["NO CONNECTION TO THE STATION.", `Last heard ${ago(silentMs)} ago; trying again. The line may still be running.`];
  else if (state?.station_gone) trouble = ["THE STATION PROGRAM HAS ENDED.", "Nothing on this page is live. Gates close by themselves."];
  else if (stationAgeMs === null) trouble = everHeard ? ["THE STATION HAS NOT SAID ANYTHING YET.", "It may still be starting."] : null;
  else if (stationAgeMs > SILENT_MS) trouble = ["THE STATION IS NOT ANSWERING.", `These values are ${ago(stationAgeMs)} old.`];
  if (!everHeard && silentMs < SILENT_MS) trouble = null;
  banner.hidden = trouble === null;
  if (trouble) {
    banner.querySelector("strong").textContent = trouble[0];
    banner.querySelector("span").textContent = trouble[1];
  }
  document.body.classList.toggle("dead", trouble !== null);
  document.body.classList.toggle("starting", !everHeard);
  view.setLink("link-page", trouble ? "not live" : everHeard ? "live" : "connecting", trouble ? "bad" : "");
  return trouble === null;
}

setInterval(() => {
  const alive = judge();
  // A line that has just come back gets time to say its first word.
  if (socket.open && performance.now() - Math.max(heardMs, openedMs) > 4 * SILENT_MS) socket.restart();
  if (state) commands.follow(state.machine, stateName(state.machine), alive);
}, 100);
setInterval(ping, PING_MS);

document.getElementById("full").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen?.().catch(() => {});
});
document.addEventListener("fullscreenchange", () => {
  const full = document.fullscreenElement !== null;
  document.body.classList.toggle("full", full); // STOP, machine and alarms stay
  document.getElementById("full").textContent = full ? "Leave full screen" : "Full screen";
});

// What the browser tests look at; an operator never sees it.
window.stationPage = {
  clock,
  wall,
  get live() {
    return wall.chosen;
  },
};

await commands.begin();
socket.start();
