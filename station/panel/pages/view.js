// The values of one state message, put on the page. Knows the state's keys; knows no socket and sends nothing.

import { OUTCOMES, PRIORITIES, REASONS, STATES, ago, stateName, word } from "/pages/words.js";

const RUNS = ["Execute"];
const FAULTS = ["Aborted", "Aborting"];

const byId = (id) => document.getElementById(id);

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text; // never HTML: a label or a reason is data
  return made;
}

// Words with `commands` in them, as the alarms' actions have.
function spoken(tag, className, text) {
  const made = element(tag, className);
  made.append(...text.split("`").map((part, n) => (n % 2 ? element("code", "", part) : part)));
  return made;
}

function setText(id, text) {
  const place = byId(id);
  if (place.textContent !== text) place.textContent = text;
}

function number(value, digits = 0) {
  return typeof value === "number" ? value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–";
}

// The report writes a latency without end as 10⁹ ms: of what came too late, or was never looked at.
function latencyText(value) {
  return value >= 1e9 ? "never" : number(value);
}

export function showMode(state) {
  setText("name", state.station);
  document.title = `${state.station} – ${word(STATES, stateName(state.machine))}`;
  const badges = [];
  if (state.mode?.simulation) badges.push(element("li", "", "SIMULATION"));
  if (state.mode?.no_diverts) badges.push(element("li", "warn", "\u26a0 NO DIVERTS SENT"));
  byId("badges").replaceChildren(...badges);
}

export function showMachine(state, nowMsOfStation) {
  const machine = state.machine ?? {};
  const name = stateName(machine);
  const abnormal = FAULTS.includes(name);
  const observes = name === "Execute" && state.mode?.no_diverts;
  const shown = observes ? "Observing" : word(STATES, name); // what sends nothing sorts nothing
  setText("machine-state", shown);
  byId("machine-state").title = `${name} (PackML ${machine.number ?? "?"})`;
  const since = machine.since_ns == null || nowMsOfStation === null ? "" : ` · for ${ago(nowMsOfStation - machine.since_ns / 1e6)}`;
  const formal = shown.startsWith(name) ? "" : `${name}: `; // PackML's word, where the large one is another
  setText("machine-reason", `${formal}${machine.reason || "no reason given"}${since}`);
  byId("machine-mark").className = `mark ${RUNS.includes(name) ? "runs" : abnormal ? "fault" : "waits"}`;
  byId("machine-mark").closest("section").classList.toggle("fault", abnormal);
  return name;
}

export function showLinks(state) {
  const link = state.link;
  const good = ["ready", "armed"].includes(link?.state);
  setLink("link-controller", link?.state ?? "none", link?.state && !good ? "bad" : "");
  const facts = [link?.detail, link?.port, link?.timing && `${link.timing} timing`, link?.sync_bound_us && `clock ±${link.sync_bound_us} µs`];
  byId("link-controller").title = facts.filter(Boolean).join(", ");
  const speed = state.belt?.speed_m_s;
  const stands = typeof speed === "number" && Math.abs(speed) < 0.05;
  setLink("link-belt", typeof speed === "number" ? (stands ? "stands" : `${number(speed, 2)} m/s`) : "unknown", stands || speed == null ? "warn" : "");
}

export function setLink(id, text, kind) {
  const place = byId(id);
  place.className = kind;
  const value = place.querySelector("dd");
  if (value.textContent !== text) value.textContent = text;
}

export function showCounts(counts = {}) {
  const total = counts.total ?? 0;
  setText("items-total", `${number(total)} items`);
  for (const outcome of ["ejected", "passed", "missed", "unconfirmed"]) {
    const count = counts[outcome] ?? 0;
    const place = byId(`n-${outcome}`);
    const late = outcome === "missed" ? ` \u00b7 ${number(counts.missed_by_reason?.late ?? 0)} late` : "";
    const share = total > 0 ? `${number((100 * count) / total, 1)} %${late}` : "";
    const text = `${number(count)}|${share}`;
    if (place.dataset.text !== text) {
      place.dataset.text = text;
      place.replaceChildren(number(count), element("small", "", share));
    }
    document.querySelector(`#outcome-bar .${outcome}`).style.width = total > 0 ? `${(100 * count) / total}%` : "0";
  }
  setText("n-in-flight", number(counts.in_flight));
  const reasons = ["missed", "unconfirmed"].flatMap((outcome) =>
    Object.entries(counts[`${outcome}_by_reason`] ?? {})
      .filter(([, count]) => count > 0)
      .sort((a, b) => b[1] - a[1])
      .map(([reason, count]) => {
        const row = element("li", "", `${OUTCOMES[outcome][0]} ${outcome}: ${word(REASONS, reason)} `);
        row.append(element("b", "", number(count)));
        return row;
      }),
  );
  byId("reasons").replaceChildren(...reasons);
}

export function showTiming(state) {
  const latency = state.latency_ms ?? {};
  const budget = latency.budget ?? 100;
  gauge("gauge-latency", [latency.p50, latency.p99], budget, `p50 ${latencyText(latency.p50)} · p99 ${latencyText(latency.p99)}${latency.p99 >= 1e9 ? "" : " ms"}`, latency.p99 > budget);
  const slack = state.slack_ms ?? {};
  gauge("gauge-slack", [slack.p1, slack.p50], null, `p1 ${number(slack.p1)} · p50 ${number(slack.p50)} ms`, typeof slack.p1 === "number" && slack.p1 < 0);
}

// Two bars on one scale; a mark where the budget ends.
function gauge(id, [inner, outer], budget, text, warn) {
  const place = byId(id);
  const reach = budget ? budget * 1.5 : Math.max(100, (outer ?? 0) * 1.2);
  const width = (value) => `${Math.max(0, Math.min(100, (100 * (value ?? 0)) / reach))}%`;
  place.classList.toggle("warn", warn === true);
  place.querySelector("output").textContent = text;
  place.querySelector(".p50").style.width = width(inner);
  place.querySelector(".p99").style.width = width(outer);
  const mark = place.querySelector("b");
  mark.hidden = !budget;
  if (budget) mark.style.left = width(budget);
}

export function showItems(items = [], nowMsOfStation) {
  const rows = items.slice(0, 12).map((item) => {
    const [sign, outcome] = OUTCOMES[item.outcome] ?? ["", item.outcome ?? "on the way"];
    const row = element("tr", item.outcome ?? "");
    const label = element("td", "", item.label ?? "unknown");
    if (item.label && item.confidence > 0) label.append(element("small", "", ` ${Math.round(item.confidence * 100)} %`));
    const out = element("td", "out");
    const fate = element("span", "fate");
    fate.append(element("span", "sign", sign), outcome);
    out.append(fate);
    if (item.reason && item.reason !== "none") out.append(element("small", "", ` ${word(REASONS, item.reason)}`));
    const settled = item.settled_ns && nowMsOfStation !== null ? ago(Math.max(0, nowMsOfStation - item.settled_ns / 1e6)) : "";
    row.append(element("td", "", `#${item.track_id}`), label, element("td", "", item.bin ?? "–"), out);
    row.append(element("td", "n", typeof item.slack_ms === "number" ? `${number(item.slack_ms)} ms` : ""), element("td", "n", settled));
    return row;
  });
  byId("item-rows").replaceChildren(...rows);
}

// Rebuilt only when something changed, so that a button is not replaced under a finger.
let shownAlarms = "";
export function showAlarms(alarms = [], act) {
  const shown = alarms.filter((alarm) => alarm.active || !alarm.acknowledged);
  const key = JSON.stringify(shown);
  if (key === shownAlarms) return;
  shownAlarms = key;
  const active = shown.filter((alarm) => alarm.active && !alarm.shelved).length;
  setText("alarm-count", active ? `${active} active` : "");
  const rows = shown.map((alarm) => alarmRow(alarm, act));
  byId("alarm-list").replaceChildren(...(rows.length ? rows : [element("li", "quiet", "No alarms")]));
}

function alarmRow(alarm, act) {
  const [shape, priority] = PRIORITIES[alarm.priority] ?? PRIORITIES[3];
  const marks = [`p${alarm.priority ?? 3}`, alarm.active ? "active" : "", alarm.acknowledged ? "" : "unacknowledged"];
  const row = element("li", marks.filter(Boolean).join(" "));
  row.dataset.alarm = alarm.alarm_id;
  const what = element("span", "what", alarm.text);
  const condition = alarm.shelved ? "shelved" : alarm.active ? "" : "gone";
  what.append(element("small", "", ` ${[priority, condition].filter(Boolean).join(", ")}`));
  row.append(element("span", "shape", shape), what, spoken("span", "do", alarm.action ?? ""));
  const acts = element("span", "acts");
  acts.hidden = alarm.words_only === true;
  if (!alarm.acknowledged) acts.append(actButton("Acknowledge", () => act({ command: "acknowledge", alarm: alarm.alarm_id })));
  if (alarm.active && !alarm.shelved) acts.append(actButton("Shelve 30 min", () => act({ command: "shelve", alarm: alarm.alarm_id, minutes: 30 })));
  if (alarm.shelved) acts.append(actButton("Unshelve", () => act({ command: "unshelve", alarm: alarm.alarm_id })));
  row.append(acts);
  return row;
}

function actButton(text, action) {
  const button = element("button", "", text);
  button.type = "button";
  button.dataset.alarmAct = "";
  button.disabled = document.body.classList.contains("viewer");
  button.addEventListener("click", action);
  return button;
}

// Items per minute over the last five minutes, from the counts themselves.
export class RateTrend {
  #points = []; // [page time ms, total]

  add(nowMs, total) {
    if (typeof total !== "number") return;
    const last = this.#points.at(-1);
    if (last && total < last[1]) this.#points = []; // another run
    if (!last || nowMs - last[0] >= 2000) this.#points.push([nowMs, total]);
    this.#points = this.#points.filter(([at]) => nowMs - at < 310000);
    this.#draw(nowMs);
  }

  #draw(nowMs) {
    const rates = this.#points.slice(5).map(([at, total], n) => [at, ((total - this.#points[n][1]) * 60000) / (at - this.#points[n][0])]);
    setText("rate", rates.length ? number(rates.at(-1)[1]) : "measuring");
    const top = Math.max(60, ...rates.map(([, rate]) => rate)) * 1.15;
    const points = rates.map(([at, rate]) => `${(300 - (nowMs - at) / 1000).toFixed(1)},${(40 - (40 * rate) / top).toFixed(1)}`);
    document.querySelector("#trend-rate polyline").setAttribute("points", points.join(" "));
  }
}
