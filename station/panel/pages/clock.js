// The station's monotonic clock as seen from this page, from pairs of time stamps. Knows nothing of sockets.

const KEEP_MS = 30000; // clocks drift: an old pair says less and less
const KEEP_PAIRS = 200;
const DRIFT_MS = 5; // more than two good clocks part in that time

export class StationClock {
  #pairs = [];
  #best = null;

  // sent and received: performance.now() of this page; heard and answered: the station's clock, ns.
  add(sentMs, heardNs, answeredNs, receivedMs) {
    const heardMs = heardNs / 1e6;
    const answeredMs = answeredNs / 1e6;
    const delayMs = Math.max(0, receivedMs - sentMs - (answeredMs - heardMs));
    const offsetMs = (heardMs - sentMs + (answeredMs - receivedMs)) / 2;
    // Every pair bounds the true offset. Two that contradict each other: a clock has jumped (this computer slept, the
    // station's booted), and what was known before would make old things look young.
    if (this.#best && Math.abs(offsetMs - this.#best.offsetMs) > (delayMs + this.#best.delayMs) / 2 + DRIFT_MS) this.forget();
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

  // The station's clock at performance.now() = pageMs, rounded towards earlier: a wish stamped so is rather too old.
  stampNs(pageMs) {
    return this.#best === null ? null : Math.round((pageMs + this.#best.offsetMs - this.boundMs) * 1e6);
  }

  forget() {
    this.#pairs = [];
    this.#best = null;
  }
}
