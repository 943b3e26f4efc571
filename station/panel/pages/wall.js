// All cameras of the station: side by side where there is room, else one at a time. Knows LivePicture; knows no values but theirs.

import { LivePicture } from "/pages/live.js";

const NARROWEST_PX = 380; // of a picture in which tags can still be read
const ALL = "";

export class CameraWall {
  #clock;
  #pictures = new Map(); // by camera id, in the station's order
  #cameras = [];
  #wish = ALL; // what the operator chose
  #wall = document.getElementById("wall");
  #tabs = document.getElementById("cameras");

  constructor(clock) {
    this.#clock = clock;
    new ResizeObserver(() => this.#arrange()).observe(this.#wall.parentElement);
    document.addEventListener("visibilitychange", () => this.#arrange());
    setInterval(() => this.#show(performance.now()), 100);
  }

  get(camera) {
    return this.#pictures.get(camera);
  }

  // The first one that is shown.
  get chosen() {
    return [...this.#pictures.values()].find((picture) => !picture.place.hidden) ?? null;
  }

  follow(cameras) {
    this.#cameras = cameras;
    const ids = cameras.map((camera) => camera.id);
    if (String(ids) !== String([...this.#pictures.keys()])) this.#hang(ids);
    for (const camera of cameras) this.#pictures.get(camera.id).cameraFault = camera.live === false ? camera.text || "the camera sends nothing" : "";
    this.#showTabs();
  }

  #hang(ids) {
    for (const picture of this.#pictures.values()) picture.watched = false;
    this.#pictures = new Map(ids.map((id) => [id, this.#pictures.get(id) ?? new LivePicture(this.#clock, id)]));
    this.#wall.replaceChildren(...[...this.#pictures.values()].map((picture) => picture.place));
    this.#arrange();
  }

  get #roomForAll() {
    return this.#pictures.size === 1 || this.#wall.parentElement.clientWidth >= 2 * NARROWEST_PX;
  }

  #arrange() {
    const ids = [...this.#pictures.keys()];
    const one = ids.includes(this.#wish) ? this.#wish : this.#roomForAll ? ALL : ids[0];
    for (const [id, picture] of this.#pictures) picture.watched = one === ALL || id === one;
    const shown = one === ALL ? ids.length : 1;
    this.#wall.style.setProperty("--columns", String(Math.min(shown, 2)));
    this.#wall.style.setProperty("--rows", String(Math.ceil(shown / 2)));
    this.#showTabs();
  }

  #choose(id) {
    this.#wish = id;
    this.#arrange();
  }

  #showTabs() {
    const shown = [...this.#pictures.values()].filter((picture) => !picture.place.hidden).map((picture) => picture.camera);
    const tabs = this.#cameras.length < 2 ? [] : this.#cameras.map(({ id, live }) => [id, id, live === false, shown.length === 1 && shown[0] === id]);
    if (tabs.length && this.#roomForAll) tabs.unshift([ALL, "All", false, shown.length > 1]);
    const key = JSON.stringify(tabs);
    if (this.#tabs.dataset.key === key) return; // not under a finger
    this.#tabs.dataset.key = key;
    this.#tabs.replaceChildren(...tabs.map((tab) => this.#tab(...tab)));
  }

  #tab(id, words, bad, pressed) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = bad ? "bad" : "";
    button.textContent = words;
    button.setAttribute("aria-pressed", String(pressed));
    button.addEventListener("click", () => this.#choose(id));
    return button;
  }

  #show(nowMs) {
    for (const picture of this.#pictures.values()) if (!picture.place.hidden) picture.show(nowMs);
  }
}
