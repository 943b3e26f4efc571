// The picture: takes one message, draws it, says so, and only then gets the next. Knows the age of what is on the screen.

import { drawBoxes } from "/pages/boxes.js";
import { SteadySocket } from "/pages/socket.js";

const SILENT_MS = 5000;
const OLD_MS = 500;
const STALE_MS = 2000;

export class LivePicture {
  #clock;
  #canvas = document.getElementById("picture");
  #overlay = document.getElementById("boxes");
  #figure = document.getElementById("figure");
  #age = document.getElementById("age");
  #ageValue = document.getElementById("age-value");
  #why = document.getElementById("no-picture-why");
  #socket;
  #camera = "";
  #drawn = null; // facts of the picture on the screen
  #drawnMs = 0;
  #heardMs = 0;
  #cameraFault = "";

  constructor(clock) {
    this.#clock = clock;
    this.ages = []; // at the moment of drawing, newest last
    this.drawings = []; // [captured ns of the station, performance.now() when drawn], newest last: for measurements
    this.#socket = new SteadySocket(() => `/ws/live?camera=${encodeURIComponent(this.#camera)}`, {
      open: () => (this.#heardMs = performance.now()),
      message: (data, receivedMs) => this.#take(data, receivedMs),
    });
    new ResizeObserver(() => this.#redrawBoxes()).observe(this.#canvas);
    document.addEventListener("visibilitychange", () => this.#followVisibility());
    setInterval(() => this.#show(performance.now()), 100);
  }

  get camera() {
    return this.#camera;
  }

  watch(camera) {
    if (camera === this.#camera) return;
    this.#camera = camera;
    this.#drawn = null;
    this.ages = [];
    if (this.#socket.open) this.#socket.send({ camera });
    this.#followVisibility();
  }

  // Words for a picture that still comes but means nothing: frozen, black, camera lost.
  setCameraFault(text) {
    this.#cameraFault = text;
  }

  // Nobody looks at a hidden page: do not make the station copy pictures for it.
  #followVisibility() {
    if (document.hidden || this.#camera === "") this.#socket.stop();
    else this.#socket.start();
  }

  async #take(data, receivedMs) {
    this.#heardMs = receivedMs;
    const length = new DataView(data).getUint32(0);
    const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    if (facts.echo) this.#clock.add(facts.echo.page_ms, facts.echo.received_ns, facts.sent_ns, receivedMs);
    try {
      const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
      if (facts.camera === this.#camera) this.#draw(bitmap, facts);
      bitmap.close();
    } finally {
      // Said after drawing, so that never more than one picture is on its way; said even for a broken one.
      this.#socket.send({ drawn: facts.number, page_ms: performance.now() });
    }
  }

  #draw(bitmap, facts) {
    if (this.#canvas.width !== bitmap.width || this.#canvas.height !== bitmap.height) {
      this.#canvas.width = bitmap.width;
      this.#canvas.height = bitmap.height;
    }
    this.#canvas.getContext("2d").drawImage(bitmap, 0, 0);
    this.#drawn = facts;
    this.#drawnMs = performance.now();
    this.drawings.push([facts.captured_ns, this.#drawnMs]);
    if (this.drawings.length > 1000) this.drawings.splice(0, 500);
    const ageMs = this.#clock.ageMs(facts.captured_ns, this.#drawnMs);
    if (ageMs !== null) this.ages = [...this.ages.slice(-29), ageMs];
    this.#redrawBoxes();
    this.#show(this.#drawnMs);
  }

  #redrawBoxes() {
    drawBoxes(this.#overlay, this.#canvas, this.#drawn);
  }

  #show(nowMs) {
    if (this.#socket.open && !document.hidden && nowMs - this.#heardMs > SILENT_MS && this.#drawn) this.#socket.restart();
    const ageMs = this.#drawn ? this.#clock.ageMs(this.#drawn.captured_ns, nowMs) : null;
    const stale = ageMs !== null && ageMs > STALE_MS;
    const dead = stale || this.#cameraFault !== "" || ageMs === null;
    this.#figure.classList.toggle("none", this.#drawn === null);
    this.#figure.classList.toggle("stale", this.#drawn !== null && dead);
    this.#age.classList.toggle("old", ageMs !== null && ageMs > OLD_MS && !dead);
    this.#age.classList.toggle("stale", dead && this.#drawn !== null);
    this.#why.textContent = this.#cameraFault || (this.#drawn ? `last one ${seconds(ageMs)} ago` : "waiting for the first one");
    // While pictures flow: their age when drawn. When they stop: how old the last one has become.
    const flowing = this.ages.length > 0 && nowMs - this.#drawnMs < 250;
    const shownMs = flowing ? median(this.ages) : ageMs;
    this.#ageValue.textContent = shownMs === null ? "–" : shownMs < 1000 ? `${Math.round(shownMs)} ms` : seconds(shownMs);
    if (ageMs !== null) document.body.dataset.pictureAgeMs = String(Math.round(shownMs));
  }
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
}
