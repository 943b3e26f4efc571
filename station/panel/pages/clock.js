// The station's monotonic clock as seen from this page, from pairs of time stamps. Knows nothing of sockets.

const KEEP_MS = 30000; // clocks drift: an old pair says less and less
const KEEP_PAIRS = 200;

export class StationClock {
  #pairs = [];
  #best = null;

  // sent and received: performance.now() of this page; heard and answered: the station's clock, ns.
  add(sentMs, heardNs, answeredNs, receivedMs) {
    const heardMs = heardNs / 1e6;
    const answeredMs = answeredNs / 1e6;
    const delayMs = Math.max(0, receivedMs - sentMs - (answeredMs - heardMs));
    const offsetMs = (heardMs - sentMs + (answeredMs - receivedMs)) / 2;
    this.#pairs.push({ receivedMs, delayMs, offsetMs });
    this.#pairs = this.#pairs.filter((pair) => receivedMs - pair.receivedMs < KEEP_MS).slice(-KEEP_PAIRS);
    this.#best = this.#pairs.reduce((best, pair) => (pair.delayMs < best.delayMs ? pair : best));
  }

  get known() {
    return this.#best !== null;
  }

  // How far off an age may be, either way.
  get boundMs() {
    return this.#best === null ? Infinity : this.#best.delayMs / 2;
  }

  // Age of something stamped by the station, at performance.now() = pageMs. Rounded towards older: never flattering.
  ageMs(stampNs, pageMs) {
    if (this.#best === null) return null;
    return Math.max(0, pageMs + this.#best.offsetMs + this.boundMs - stampNs / 1e6);
  }

  forget() {
    this.#pairs = [];
    this.#best = null;
  }
}
