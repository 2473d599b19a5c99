// One pair at a time. The server renders the texts (no HTML, links or pictures of theirs survive)
// and has stored a vote before it answers with the next pair.
"use strict";

const at = (id) => document.getElementById(id);
const UNSEEN = 200; // milliseconds in which nobody has read a pair: a key that bounces rates nothing
let rater = "";
let state = null;
let shownAt = 0;
let busy = false;

function show(next) {
  state = next;
  const { pair, rated, total } = next;
  at("welcome").hidden = true;
  at("top").hidden = false;
  at("choices").hidden = false;
  at("pair").hidden = !pair;
  at("done").hidden = Boolean(pair);
  for (const button of document.querySelectorAll("[data-choice]")) button.hidden = !pair;
  at("undo").disabled = next.last === null;
  at("bar").max = total;
  at("bar").value = rated;
  at("count").textContent = `${rated} of ${total} rated`;
  at("who").textContent = rater;
  for (const part of ["question", "first", "second"]) at(part).innerHTML = pair ? pair[part] : "";
  window.scrollTo(0, 0);
  shownAt = performance.now();
}

async function ask(path, body) {
  if (busy) return;
  busy = true;
  try {
    const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const reply = await fetch(path, options);
    const answer = await reply.json();
    if (!reply.ok) throw new Error(answer.error);
    const stale = answer.stored === false;
    at("problem").textContent = stale ? "Another tab has gone on since; what was done there stands." : "";
    at("problem").hidden = !stale;
    show(answer);
  } catch (error) {
    at("problem").textContent = `Not stored: ${error.message}. Is the server running? Choose again, or reload the page.`;
    at("problem").hidden = false;
  } finally {
    busy = false;
  }
}

const load = () => ask(`state?rater=${encodeURIComponent(rater)}`);

function vote(choice) {
  const spent = performance.now() - shownAt;
  if (!state || !state.pair || spent < UNSEEN) return;
  ask("vote", { rater, item: state.pair.item, choice, seconds: Math.round(spent / 100) / 10 });
}

function undo() {
  if (state && state.last !== null) ask("undo", { rater, item: state.last });
}

function help() {
  const reminder = at("reminder");
  if (!reminder.firstChild) {
    const list = at("criteria").cloneNode(true);
    list.removeAttribute("id");
    reminder.append(list);
  }
  reminder.hidden = !reminder.hidden;
  at("help").setAttribute("aria-expanded", String(!reminder.hidden));
}

at("welcome").addEventListener("submit", (event) => {
  event.preventDefault();
  rater = at("name").value.trim();
  if (!rater) return;
  sessionStorage.setItem("rater", rater);
  load();
});
for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", () => vote(button.dataset.choice));
}
at("undo").addEventListener("click", undo);
at("help").addEventListener("click", help);
at("who").addEventListener("click", () => {
  sessionStorage.removeItem("rater");
  location.reload();
});
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  const choice = { 1: "first", 2: "second", 3: "tie" }[event.key];
  if (choice) vote(choice);
  else if (event.key === "u" || event.key === "U") undo();
});

rater = sessionStorage.getItem("rater") || "";
if (rater) load();
else at("welcome").hidden = false;
