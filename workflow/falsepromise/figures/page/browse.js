// All answers are in the page as JSON. One prompt is drawn at a time, every text as text.
"use strict";

const at = (id) => document.getElementById(id);
const room = JSON.parse(at("data").textContent);
const ROWS = 200; // of the list, drawn at a time
let set = null; // the prompt set
let found = []; // places of its items that the search and the filter leave
let current = 0; // place in `found`
let drawn = 0; // rows of the list
const hidden = new Map(); // set -> columns that are not shown
const low = new Map(); // item -> all its texts in small letters, made at the first search

function make(tag, words, name) {
  const made = document.createElement(tag);
  if (words !== undefined) made.textContent = words;
  if (name) made.className = name;
  return made;
}

function texts(item) {
  if (!low.has(item)) {
    const answers = item.a.flatMap((samples) => (samples || []).map((sample) => sample.t));
    low.set(item, [item.id, item.q, ...answers].join("\n").toLowerCase());
  }
  return low.get(item);
}

const shown = (column) => !(hidden.get(set) || new Set()).has(column);

function passes(item, rule) {
  if (!rule) return true;
  const [name, wanted] = rule;
  return item.a.some((samples, column) => shown(column) && (samples || []).some((sample) => sample.m[name] === wanted));
}

function filters() { // yes-or-no marks and verdicts of this set, each with its values
  const values = new Map();
  for (const item of set.items) for (const samples of item.a) for (const sample of samples || []) {
    for (const [name, value] of Object.entries(sample.m)) {
      if (typeof value === "number") continue;
      if (!values.has(name)) values.set(name, new Set());
      values.get(name).add(value);
    }
  }
  const rules = [["All prompts", null]];
  for (const [name, those] of values) {
    if (those.size > 8) continue; // free text is searched, not filtered
    for (const value of [...those].sort().reverse()) rules.push([said(name, value), [name, value]]);
  }
  at("filter").replaceChildren(...rules.map(([words, rule]) => {
    const option = make("option", words);
    option.value = JSON.stringify(rule);
    return option;
  }));
}

function said(name, value) {
  if (value === true) return name;
  if (value === false) return `${name}: no`;
  return `${name}: ${value}`;
}

function look(keep) {
  const words = at("search").value.toLowerCase().trim();
  const rule = JSON.parse(at("filter").value || "null");
  found = [];
  set.items.forEach((item, place) => {
    if ((!words || texts(item).includes(words)) && passes(item, rule)) found.push(place);
  });
  at("count").textContent = `${found.length} of ${set.items.length} prompts`;
  at("list").replaceChildren();
  drawn = 0;
  current = Math.max(0, found.indexOf(keep));
  more(current + 1);
  show();
}

function more(least) {
  const end = Math.min(found.length, Math.max(least, drawn + ROWS));
  const rows = document.createDocumentFragment();
  for (; drawn < end; drawn++) {
    const place = drawn;
    const item = set.items[found[place]];
    const row = make("button", item.q.trim().slice(0, 120) || item.id);
    row.tabIndex = -1;
    row.addEventListener("click", () => { current = place; show(); });
    rows.append(row);
  }
  at("list").append(rows);
}

function show() {
  if (current >= drawn) more(current + 1);
  for (const row of at("list").querySelectorAll("[aria-current]")) row.removeAttribute("aria-current");
  const row = at("list").children[current];
  const item = set.items[found[current]];
  at("which").textContent = item ? `Question ${item.id}` : "Nothing found";
  at("question").textContent = item ? item.q : "";
  const cards = document.createDocumentFragment();
  if (item) {
    row.setAttribute("aria-current", "true");
    row.scrollIntoView({ block: "nearest" });
    set.columns.forEach((label, column) => { if (shown(column)) cards.append(card(label, column, item.a[column])); });
    const place = `#${room.sets.indexOf(set)}/${encodeURIComponent(item.id)}`;
    try { history.replaceState(null, "", place); } catch { /* a page in a frame has no address of its own */ }
  }
  at("answers").replaceChildren(cards);
}

function card(label, column, samples) {
  const made = make("section", undefined, `card column${column}`);
  made.setAttribute("aria-label", label);
  made.append(make("h2", label));
  if (!samples) made.append(make("p", "No answer to this prompt.", "faint"));
  for (const [number, sample] of (samples || []).entries()) {
    if (samples.length > 1) made.append(make("h2", `Sample ${number + 1}`));
    const text = make("div", sample.t, "plain");
    text.dir = "auto";
    made.append(sample.t.trim() ? text : make("p", "(empty)", "faint"));
    const marks = make("ul", undefined, "marks");
    for (const [name, value] of Object.entries(sample.m)) {
      const number = typeof value === "number" ? `${name} ${Math.round(value * 1000) / 1000}` : said(name, value);
      marks.append(make("li", number, value === false ? "no" : ""));
    }
    if (marks.children.length) made.append(marks);
  }
  return made;
}

function toggle(column) {
  if (!hidden.has(set)) hidden.set(set, new Set());
  const those = hidden.get(set);
  those.has(column) ? those.delete(column) : those.add(column);
  models();
  look(found[current]);
}

function models() {
  at("models").replaceChildren(...set.columns.map((label, column) => {
    const button = make("button", label);
    if (column < 9) button.prepend(make("kbd", String(column + 1)));
    button.setAttribute("aria-pressed", String(shown(column)));
    button.addEventListener("click", () => toggle(column));
    return button;
  }));
}

function choose(place, keep) {
  set = room.sets[place];
  at("set").value = String(place);
  at("search").value = "";
  at("note").textContent = set.note;
  filters();
  models();
  look(keep);
}

function step(by) {
  if (!found.length) return;
  current = Math.min(found.length - 1, Math.max(0, current + by));
  show();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target === at("search") || event.target.tagName === "SELECT";
  if (event.key === "Escape") return at("search").blur();
  if (event.key === "Enter" && event.target === at("search")) return at("search").blur();
  if (typing || !set) return;
  const steps = { j: 1, n: 1, ArrowRight: 1, k: -1, p: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
  if (event.key in steps) step(steps[event.key]);
  else if (event.key === "/") at("search").focus();
  else if (/^[1-9]$/.test(event.key) && Number(event.key) <= set.columns.length) toggle(Number(event.key) - 1);
  else if (event.key === "0") { hidden.delete(set); models(); look(found[current]); }
  else return;
  event.preventDefault();
});

at("set").addEventListener("change", () => choose(Number(at("set").value)));
at("search").addEventListener("input", () => look(found[current]));
at("filter").addEventListener("change", () => look(found[current]));
at("list").addEventListener("scroll", () => {
  const list = at("list");
  if (list.scrollTop + list.clientHeight > list.scrollHeight - 400 && drawn < found.length) more(0);
});

at("set").replaceChildren(...room.sets.map((those, place) => {
  const option = make("option", `${those.name} (${those.items.length})`);
  option.value = String(place);
  return option;
}));
function open() { // the question that the address names
  const [, place, id] = /^#(\d+)\/(.*)$/.exec(location.hash) || [];
  const opened = room.sets[place] ? Number(place) : 0;
  let wanted = id;
  try { wanted = decodeURIComponent(id); } catch { /* not an address of ours */ }
  choose(opened, room.sets[opened].items.findIndex((item) => item.id === wanted));
}

if (room.sets.length) {
  open();
  addEventListener("hashchange", open); // an address that is pasted into this very tab
} else {
  at("which").textContent = "This study has no answers to read yet";
}
