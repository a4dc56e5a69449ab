// The dashboard: asks the API, hands what it says to charts and tables.
// Everything that was ever said by a peer or stands in a file goes into the
// page as text, never as markup.
import {drawCharts, drawCurves, drawPatience} from "/charts.js";
import * as tables from "/tables.js";

const EVERY_MS = {summary: 2000, sessions: 2000, signatures: 5000,
                  effect: 10000,
                  history: 10000};
const LATE_MS = 10000;

const asked = {};
let range = "1h";
let lastAnswer = Date.now();

const show = {
  summary(answer) {
    tables.drawSummary(answer);
    drawPatience(answer.gave_up);
  },
  sessions: tables.drawSessions,
  signatures: tables.drawSignatures,
  history: drawCharts,
  effect(answer) {
    tables.drawEffect(answer);
    drawCurves(answer);
  },
};

function say(text) {
  const trouble = document.getElementById("trouble");
  trouble.textContent = text;
  trouble.hidden = text === "";
}

async function ask(what) {
  const path = what === "history" ? `history/${range}` : what;
  const wanted = range;
  asked[what] = Date.now();
  const answer = await fetch(`/api/v1/${path}`, {cache: "no-store"});
  if (answer.status === 429)
    return; // the next turn asks again
  if (!answer.ok)
    throw new Error(`answer ${answer.status}`);
  const json = await answer.json();
  if (what !== "history" || wanted === range)
    show[what](json);
  lastAnswer = Date.now();
  say("");
}

function turn() {
  if (document.hidden)
    return;
  for (const [what, every] of Object.entries(EVERY_MS)) {
    if (Date.now() - (asked[what] ?? 0) >= every)
      ask(what).catch(failed);
  }
  if (Date.now() - lastAnswer > LATE_MS)
    failed();
}

function failed(error) {
  const seconds = Math.round((Date.now() - lastAnswer) / 1000);
  if (error instanceof TypeError || error === undefined)
    say(`Tarry does not answer; what you see is ${seconds} s old.`);
  else
    say(`Something could not be shown: ${error.message}`);
}

for (const button of document.querySelectorAll("[data-range]")) {
  button.addEventListener("click", () => {
    range = button.dataset.range;
    for (const one of document.querySelectorAll("[data-range]"))
      one.setAttribute("aria-pressed", String(one === button));
    ask("history").catch(failed);
  });
}
document.addEventListener("visibilitychange", () => {
  lastAnswer = Date.now();
  turn();
});
turn();
setInterval(turn, 500);
