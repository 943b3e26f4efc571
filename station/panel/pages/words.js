// Words an operator reads, for the station's own. Every code a page can meet has one; an unknown one is shown as it is.

export const STATES = {
  Clearing: "Clearing", Stopped: "Stopped", Starting: "Starting", Idle: "Ready", Suspended: "Waiting", Execute: "Sorting",
  Stopping: "Stopping", Aborting: "Aborting", Aborted: "Fault", Holding: "Holding", Held: "Held", Unholding: "Resuming",
  Resetting: "Resetting",
};

export const REASONS = {
  late: "too late for the gate", refused_far: "too far ahead", refused_full: "controller queue full",
  refused_gate_limit: "gate limit", refused_not_armed: "controller not armed", refused_other: "refused by controller",
  neighbour: "spared a neighbour", too_long: "too long", unseen_at_start: "past the camera at start",
  not_permitted: "machine was not sorting", stopped: "stopped", link: "controller link lost", speed: "belt speed off",
  position: "belt position unknown", dry_run: "no diverts sent", no_report: "no report from controller",
  belt_stopped_in_window: "belt stopped at the gate", interrupted: "program ended", run_ended: "run ended", lost_track: "lost from view",
};

export const OUTCOMES = {
  ejected: ["\u2192", "ejected"], passed: ["\u00b7", "passed"], missed: ["\u2715", "missed"], unconfirmed: ["?", "unconfirmed"],
};

// What each event is called, and whether somebody should have looked.
export const EVENTS = {
  run_started: ["Run started"], run_ended: ["Run ended"], run_closed: ["Interrupted run closed"], state: ["State"],
  operator: ["Operator"], link: ["Controller"], disarmed: ["Controller disarmed", true],
  controller_fault: ["Controller found a fault", true], estop: ["E-stop", true], camera_lost: ["Camera lost", true],
  camera_back: ["Camera back"], encoder_silent: ["Encoder silent", true], belt: ["Belt"], model: ["Model"],
  alarm_raised: ["Alarm", true], alarm_acknowledged: ["Alarm acknowledged"], alarm_cleared: ["Alarm gone"], bins: ["Bins"],
  item_missed: ["Item missed", true], item_unconfirmed: ["Item unconfirmed", true], overflow: ["Overflow", true],
  record: ["Record", true], config: ["Setting"], crash: ["Program error", true],
};

// Why the controller is not armed.
export const DISARMED = {
  boot: "it has just started", host: "by this computer", stop: "STOP", lease: "no sign of life from this computer in time",
  estop: "its emergency-stop input", fault: "a fault of its own", output: "an output did not do what it was told",
};

export const PRIORITIES = { 1: ["\u25b2", "critical"], 2: ["\u25a0", "warning"], 3: ["\u25cf", "notice"] };

export function word(table, key) {
  return table[key] ?? String(key).replaceAll("_", " ");
}

export function stateName(machine) {
  const name = String(machine?.state ?? "");
  return name.charAt(0).toUpperCase() + name.slice(1).toLowerCase();
}

export function ago(ms) {
  if (ms === null || ms === undefined) return "–";
  const s = ms / 1000;
  if (s < 60) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

// As on every plant's clock, whatever the browser's language: "3:57 PM" and "15:57" on one page are two times.
export function clockTime(when = new Date()) {
  return when.toLocaleTimeString("en-GB");
}
