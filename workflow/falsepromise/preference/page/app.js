// One pair at a time. The server renders the texts (no HTML, links or pictures of theirs survive)
// and has stored a vote before it answers with the next pair.
"use strict";

const at = (id) => document.getElementById(id);
const UNSEEN = 400; // milliseconds in which nobody has read a pair: a key that bounces, a double click rate nothing
const TOAST = 8000; // milliseconds for which what was rated can be read
const SAID = { first: "Answer 1 is better", second: "Answer 2 is better", tie: "Both are the same", bad: "Both are bad" };
let rater = "";
let state = null;
let shownAt = 0;
let busy = false;
let unread = new Set(); // the answers whose end has not been on the screen
let toasting = 0;

const ends = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) unread.delete(entry.target);
  gate();
}, { rootMargin: "0px 0px -72px 0px" }); // the choices lie over the lowest part

function gate() {
  const closed = Boolean(state && state.pair) && unread.size > 0;
  at("gate").hidden = !closed;
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = closed;
}

function read() {
  if (!state || !state.pair || performance.now() - shownAt < UNSEEN) return;
  unread.clear();
  gate();
}

function toast(words) {
  clearTimeout(toasting);
  at("said").textContent = words;
  at("toast").hidden = !words;
  if (words) toasting = setTimeout(() => toast(""), TOAST);
}

function show(next) {
  state = next;
  const { pair, rated, total } = next;
  at("welcome").hidden = true;
  at("top").hidden = false;
  at("choices").hidden = false;
  at("pair").hidden = !pair;
  at("done").hidden = Boolean(pair);
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.hidden = !pair || (button.dataset.choice === "bad" && !next.both_bad);
  }
  at("undo").disabled = next.last === null;
  at("bar").max = total;
  at("bar").value = rated;
  at("count").textContent = `${rated} of ${total} rated`;
  at("who").textContent = rater;
  for (const part of ["question", "first", "second"]) at(part).innerHTML = pair ? pair[part] : "";
  for (const part of document.querySelectorAll(".text :is(pre, table)")) part.tabIndex = 0; // to scroll it by keys
  at("note").value = "";
  document.activeElement?.blur();
  (pair ? at("pair") : at("done")).focus({ preventScroll: true }); // no button keeps it: Space scrolls
  window.scrollTo(0, 0);
  unread = new Set();
  ends.disconnect();
  if (pair) {
    for (const end of document.querySelectorAll(".end")) {
      unread.add(end);
      ends.observe(end);
    }
  }
  gate();
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
    at("problem").textContent = stale ? "Another tab has rated since then; those ratings count." : "";
    at("problem").hidden = !stale;
    show(answer);
    return answer.stored !== false;
  } catch (error) {
    at("problem").textContent = `Not stored: ${error.message}. Is the server running? Choose again, or reload the page.`;
    at("problem").hidden = false;
  } finally {
    busy = false;
  }
}

const load = () => ask(`state?rater=${encodeURIComponent(rater)}`);

async function vote(choice) {
  const spent = performance.now() - shownAt;
  if (!state || !state.pair || spent < UNSEEN || (choice === "bad" && !state.both_bad)) return;
  if (unread.size) {
    at("gate").classList.add("asked");
    return;
  }
  at("gate").classList.remove("asked");
  const body = { rater, item: state.pair.item, choice, seconds: Math.round(spent / 100) / 10, note: at("note").value };
  if (await ask("vote", body)) toast(`Stored: ${SAID[choice]}.`);
}

async function undo() {
  if (!state || state.last === null) return;
  toast("");
  if (await ask("undo", { rater, item: state.last })) at("said").textContent = "";
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
  button.addEventListener("click", (event) => event.detail < 2 && vote(button.dataset.choice)); // not a double click
}
at("read").addEventListener("click", read);
at("untoast").addEventListener("click", undo);
at("undo").addEventListener("click", undo);
at("help").addEventListener("click", help);
at("who").addEventListener("click", () => {
  sessionStorage.removeItem("rater");
  location.reload();
});
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (["INPUT", "TEXTAREA"].includes(event.target.tagName)) return;
  const choice = { 1: "first", 2: "second", 3: "tie", 4: "bad" }[event.key];
  if (choice) vote(choice);
  else if (event.key === "r" || event.key === "R") read();
  else if (event.key === "u" || event.key === "U") undo();
});

rater = sessionStorage.getItem("rater") || "";
if (rater) load();
else at("welcome").hidden = false;
