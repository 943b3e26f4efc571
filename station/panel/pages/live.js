// One camera's picture: takes one message, draws it, says so, and only then gets the next. Knows the age of what it shows.

import { drawBoxes } from "/pages/boxes.js";
import { SteadySocket } from "/pages/socket.js";

const SILENT_MS = 5000;
const OLD_MS = 500;
const STALE_MS = 2000;

export class LivePicture {
  #clock;
  #part;
  #socket;
  #drawn = null; // facts of the picture on the screen
  #drawnMs = 0;
  #heardMs = 0;
  #cameraFault = "";

  constructor(clock, camera) {
    this.#clock = clock;
    this.camera = camera;
    this.place = document.getElementById("camera-place").content.firstElementChild.cloneNode(true);
    this.place.dataset.camera = camera;
    this.#part = (name) => this.place.querySelector(`.${name}`);
    this.#part("camera-name").textContent = camera;
    this.ages = []; // at the moment of drawing, newest last
    this.drawings = []; // [captured ns of the station, performance.now() when drawn], newest last: for measurements
    this.#socket = new SteadySocket(`/ws/live?camera=${encodeURIComponent(camera)}`, {
      open: () => (this.#heardMs = performance.now()),
      message: (data, receivedMs) => this.#take(data, receivedMs),
    });
    new ResizeObserver(() => this.#redrawBoxes()).observe(this.#part("picture"));
  }

  // Nobody looks at a hidden picture: do not make the station copy it.
  set watched(wanted) {
    if (this.place.hidden === wanted) this.ages = [];
    this.place.hidden = !wanted;
    if (wanted && !document.hidden) this.#socket.start();
    else this.#socket.stop();
  }

  // Words for a picture that still comes but means nothing: frozen, black, camera lost.
  set cameraFault(text) {
    this.#cameraFault = text;
  }

  async #take(data, receivedMs) {
    this.#heardMs = receivedMs;
    const length = new DataView(data).getUint32(0);
    const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    if (facts.echo) this.#clock.add(facts.echo.page_ms, facts.echo.received_ns, facts.sent_ns, receivedMs);
    try {
      const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
      this.#draw(bitmap, facts);
      bitmap.close();
    } finally {
      // Said after drawing, so that never more than one picture is on its way; said even for a broken one.
      this.#socket.send({ drawn: facts.number, page_ms: performance.now() });
    }
  }

  #draw(bitmap, facts) {
    const canvas = this.#part("picture");
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
      this.place.style.setProperty("--aspect", String(bitmap.width / bitmap.height));
    }
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    this.#drawn = facts;
    this.#drawnMs = performance.now();
    this.drawings.push([facts.captured_ns, this.#drawnMs]);
    if (this.drawings.length > 1000) this.drawings.splice(0, 500);
    const ageMs = this.#clock.ageMs(facts.captured_ns, this.#drawnMs);
    if (ageMs !== null) this.ages = [...this.ages.slice(-29), ageMs];
    this.#redrawBoxes();
    this.show(this.#drawnMs);
  }

  #redrawBoxes() {
    drawBoxes(this.#part("boxes"), this.#part("picture"), this.#drawn);
  }

  // How old it is by now, and whether it can still be called live.
  show(nowMs) {
    if (this.#socket.open && !document.hidden && nowMs - this.#heardMs > SILENT_MS && this.#drawn) this.#socket.restart();
    const ageMs = this.#drawn ? this.#clock.ageMs(this.#drawn.captured_ns, nowMs) : null;
    const stale = ageMs !== null && ageMs > STALE_MS;
    const dead = stale || this.#cameraFault !== "" || ageMs === null;
    const age = this.#part("age");
    this.#part("figure").classList.toggle("none", this.#drawn === null);
    this.#part("figure").classList.toggle("stale", this.#drawn !== null && dead);
    age.classList.toggle("old", ageMs !== null && ageMs > OLD_MS && !dead);
    age.classList.toggle("stale", dead && this.#drawn !== null);
    const last = this.#drawn && ageMs !== null ? `last one ${seconds(ageMs)} ago` : "waiting for the first one";
    setText(this.#part("no-picture-why"), [this.#cameraFault, last].filter(Boolean).join(" \u00b7 "));
    // While pictures flow: their age when drawn. When they stop: how old the last one has become.
    const flowing = this.ages.length > 0 && nowMs - this.#drawnMs < 250;
    const shownMs = flowing ? median(this.ages) : ageMs;
    setText(this.#part("age-value"), shownMs === null ? "–" : shownMs < 1000 ? `${Math.round(shownMs)} ms` : seconds(shownMs));
  }
}

function setText(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
}
