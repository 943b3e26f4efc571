// What happened lately, newest first. Each state message brings the newest; a page that comes late asks for those before once.

import { element } from "/pages/view.js";
import { DISARMED, EVENTS, ago, clockTime, word } from "/pages/words.js";

const SHOWN = 50;

export class EventList {
  #known = new Map(); // key -> event
  #place = document.getElementById("event-rows");

  async begin() {
    try {
      const reply = await fetch("/api/v1/events");
      if (reply.ok) this.add((await reply.json()).events);
    } catch {
      // the banner says that there is no connection; the next state brings the newest
    }
  }

  // Newest first, as the station lists them; what is known already is left out.
  add(events = []) {
    const fresh = events.filter((event) => !this.#known.has(keyOf(event)));
    if (!fresh.length) return;
    for (const event of fresh) this.#known.set(keyOf(event), event);
    const newest = [...this.#known.entries()].sort(([, a], [, b]) => b.utc_ns - a.utc_ns).slice(0, SHOWN);
    this.#known = new Map(newest);
    this.#place.replaceChildren(...newest.map(([, event]) => row(event)));
  }
}

function keyOf(event) {
  return JSON.stringify([event.at_ns, event.what, event.track_id, event.camera_id, event.detail]);
}

function row(event) {
  const [what, troubled] = EVENTS[event.what] ?? [word({}, event.what), false];
  const made = element("tr", troubled ? "troubled" : "");
  const when = new Date(event.utc_ns / 1e6);
  const time = element("td", "time", clockTime(when));
  time.title = when.toISOString();
  made.append(time, element("td", "what", troubled ? `\u25c6 ${what}` : what), element("td", "words", wordsOf(event)));
  return made;
}

// The detail of an event as a line: the words it has, or its values as they are.
function wordsOf(event) {
  const { detail: values = {}, camera_id, track_id } = event;
  const { words, why, reason, detail, command, who, state, away_ms, ...rest } = values;
  const told = words ?? why ?? (event.what === "disarmed" ? word(DISARMED, reason ?? "") : reason) ?? detail;
  const parts = [
    camera_id && !String(told ?? "").startsWith(camera_id) ? camera_id : "", // most words begin with it
    track_id == null ? "" : `#${track_id}`,
    command && command.toUpperCase(),
    who && `from ${who}`,
    state && state.toUpperCase(),
    String(told).toLowerCase() === state ? "" : told, // "ARMED: armed"
    detail !== told && detail,
    typeof away_ms === "number" && `away for ${ago(away_ms)}`,
  ];
  for (const [key, value] of Object.entries(rest)) {
    if (key === "alarm" && words) continue; // the words say which
    if (value !== null && value !== "") parts.push(`${key.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  }
  return parts.filter(Boolean).join(" \u00b7 ");
}
