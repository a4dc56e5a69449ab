// Figures, tables, and how everything is.

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className)
    made.className = className;
  made.append(...children.filter((child) => child !== null)
    .map((child) => typeof child === "object" ? child : String(child)));
  return made;
}

export function number(n) {
  return n.toLocaleString("en");
}

export function seconds(s) {
  if (s > 0 && s < 1)
    return `${Math.round(s * 1000)} ms`;
  if (s < 100)
    return `${s % 1 === 0 ? s : s.toFixed(1)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 120)
    return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

function sum(list) {
  return list.reduce((all, one) => all + one, 0);
}

function cell(text, className) {
  return element("td", className, text);
}

// Replaces the rows of a section's table; says so where there are none.
function fill(section, rows, none) {
  const body = document.querySelector(`#${section} tbody`);
  if (rows.length === 0) {
    const empty = cell(none, "empty");
    empty.colSpan = 9;
    rows = [element("tr", "", empty)];
  }
  body.replaceChildren(...rows);
}

function figure(id, what, value, raw) {
  const shown = element("span", "value", value);
  shown.id = `figure-${id}`;
  shown.dataset.value = raw;
  return element("div", "", shown, element("span", "what", what));
}

function drawFigures(summary) {
  const ends = (end) => sum(summary.classes.map((one) => one.ends[end]));
  const refused = ["unknown_users", "relay_probes", "policy", "protocol",
    "auth_failures"];
  const plain = (id, what, n) => figure(id, what, number(n), n);
  document.getElementById("figures").replaceChildren(
    plain("open", "open", summary.now.open),
    plain("held", "held now", summary.now.held),
    plain("accepted", "connections", summary.accepted),
    plain("delivered", "recipients delivered", summary.outcomes.delivered),
    plain("spam", "messages refused as spam", summary.outcomes.spam),
    plain("refused", "other refusals",
      sum(refused.map((name) => summary.outcomes[name]))),
    plain("deferred", "told to come later", summary.outcomes.neutral),
    plain("gave_up", "gave up while held", ends("gave_up")));
}

function drawRules(rules) {
  fill("rules", rules.map((rule) => {
    const row = element("tr", "", cell(rule.name), cell(rule.class),
      element("td", "", element("span", "tag",
        rule.shadow ? "shadow" : "enforce")),
      cell(number(rule.matched), "n"), cell(number(rule.would_match), "n"));
    row.dataset.rule = rule.name;
    row.dataset.matched = rule.matched;
    row.dataset.shadow = rule.would_match;
    return row;
  }), "There are no rules.");
}

const STATES = {good: "works", bad: "does not work", idle: "not used yet",
                off: "off"};

function drawSources(sources) {
  document.getElementById("sources").replaceChildren(
    ...sources.map((source) => {
      const dot = element("span", `dot ${source.state}`);
      dot.setAttribute("aria-hidden", "true");
      const item = element("li", "", dot, element("span", "", source.name,
        element("span", "hidden", `: ${STATES[source.state]}; `)),
      element("span", "text", source.text));
      item.dataset.state = source.state;
      return item;
    }));
}

function segment(className, share, title) {
  const made = element("span", className);
  made.style.width = `${100 * share}%`;
  if (title)
    made.title = title;
  return made;
}

function term(className, name, value) {
  const swatch = className ? element("span", `swatch ${className}`) : null;
  const shown = element("dd", "", number(value));
  shown.dataset.value = value;
  return [element("dt", "", swatch, name), shown];
}

function drawSlots(now) {
  const used = now.slots_throttled + now.slots_other;
  const bar = element("div", "bar",
    segment("throttled", now.slots_throttled / now.slots_limit),
    segment("other", now.slots_other / now.slots_limit));
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label",
    `${used} of ${now.slots_limit} slots in use`);
  document.getElementById("slots").replaceChildren(bar, element("dl", "",
    ...term("throttled", "used by throttled senders", now.slots_throttled),
    ...term("other", "used by others", now.slots_other),
    ...term("", "throttled senders may use", now.slots_share),
    ...term("", "in all", now.slots_limit),
    ...term("", "waiting for one", now.slots_waiting)),
  element("p", "empty", now.stress_slots || now.stress_sessions
    ? "Nearly used up: delays are shorter now."
    : "Enough are free."));
}

export function drawSummary(summary) {
  document.getElementById("mode").textContent =
    summary.mode === "shadow" ? "shadow: nothing is delayed" : "enforcing";
  document.getElementById("state").textContent =
    `${summary.state} for ${seconds(summary.uptime_s)}`;
  document.getElementById("version").textContent = `tarryd ${summary.version}`;
  drawFigures(summary);
  drawRules(summary.rules);
  drawSources(summary.sources);
  drawSlots(summary.now);
}

const STAGES = {
  greet: "before the greeting", gate: "waits for an MTA slot",
  dial: "reaches the MTA", banner: "the greeting is on its way",
  relay: "a reply, or the upload",
};

export function drawSessions(answer) {
  const rows = answer.sessions.map((one) => element("tr", "",
    element("td", "", element("code", "", one.client)),
    cell(`rule ${one.rule}, class ${one.class}`),
    cell(STAGES[one.phase] ?? one.phase),
    cell(seconds(one.age_ms / 1000), "n"),
    cell(one.manners.join(", "))));
  const note = document.getElementById("held-note");
  note.textContent = answer.age_ms === null ? "Being looked at." :
    `${number(answer.held)} held, seen ${seconds(answer.age_ms / 1000)} ago` +
    (answer.held > rows.length ? `; the first ${rows.length} are shown.` : ".");
  fill("held", rows, "Nobody is held at this moment.");
}

const OUTCOMES = [
  ["delivered", "delivered"], ["spam", "refused as spam"],
  ["refused", "refused for other causes"], ["deferred", "told to come later"],
  ["gave_up", "gave up"],
];

// Unknown users and the like are one kind of refusal here.
function outcomesOf(row) {
  return {...row, refused: row.refused + row.unknown_users};
}

function outcomeBar(row) {
  const all = sum(OUTCOMES.map(([key]) => row[key]));
  const told = OUTCOMES.filter(([key]) => row[key] > 0);
  const bar = element("div", "bar", ...told.map(([key, name]) =>
    segment(key, row[key] / all, `${number(row[key])} ${name}`)));
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", told.length === 0 ? "nothing yet" :
    told.map(([key, name]) => `${row[key]} ${name}`).join(", "));
  return bar;
}

export function drawSignatures(answer) {
  document.getElementById("outcome-key").replaceChildren(
    ...OUTCOMES.map(([key, name]) =>
      element("span", "", element("span", `swatch ${key}`), name)));
  fill("signatures", answer.signatures.map(outcomesOf).map((row) => {
    const made = element("tr", "",
      element("td", "", row.label || null,
        element("span", "raw", row.text)),
      element("td", "", outcomeBar(row)), cell(number(row.sessions), "n"),
      cell(number(row.delivered), "n"),
      cell(number(row.spam + row.refused), "n"),
      cell(number(row.deferred), "n"), cell(number(row.gave_up), "n"));
    made.dataset.signature = row.text;
    made.dataset.sessions = row.sessions;
    made.dataset.delivered = row.delivered;
    return made;
  }), "No connection has ended yet.");
}

function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

function points(n) {
  return `${n > 0 ? "+" : n < 0 ? "−" : ""}${Math.abs(100 * n).toFixed(1)}`;
}

function effectRow(what, fact, sessions) {
  const row = element("tr", "", cell(what),
    cell(sessions.shaped > 0 ? percent(fact.shaped) : "–", "n"),
    cell(sessions.held_out > 0 ? percent(fact.held_out) : "–", "n"),
    cell(fact.known ? `${points(fact.change)} (${points(fact.low)} to ` +
      `${points(fact.high)})` : "too few to tell", "n"));
  row.dataset.shaped = fact.shaped;
  return row;
}

export function drawEffect(answer) {
  const {all} = answer;
  fill("avoided", all.shaped + all.held_out === 0 ? [] : [
    effectRow("brought spam to the MTA", all.spam, all),
    effectRow("delivered mail", all.good, all),
    effectRow("delivered it late because of Tarry", all.late, all)],
  "No connection was slowed yet, nor left unslowed to compare.");
  document.getElementById("avoided-note").textContent =
    (answer.shadow ? "In shadow mode nobody is slowed. " : "") +
    (answer.holdout === 0
      ? "There is nothing to compare with: learn.holdout is 0."
      : `${number(all.shaped)} slowed, ${number(all.held_out)} left unslowed ` +
        `(learn.holdout is ${answer.holdout} % of networks).`);
}
