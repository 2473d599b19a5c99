// A dialogue with one model or two. What anybody says is shown as text alone.
"use strict";

const at = (id) => document.getElementById(id);
const key = location.pathname.split("/")[1]; // the page's address holds it
const MOST = 512; // tokens of an answer
let panes = []; // {model, messages, box, title}
let meeting = null;
let busy = false;
let dialogue = 0; // counts: an answer of an older one goes nowhere

function problem(words) {
  at("problem").textContent = words;
  at("problem").hidden = !words;
}

async function ask(path, body) {
  const options = body && { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(`/v1/${path}`, {
    ...options, headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
  });
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer;
}

function pane(model, label) {
  const box = document.createElement("section");
  box.className = "card";
  const title = document.createElement("h2");
  title.textContent = label;
  box.append(title);
  at("panes").append(box);
  return { model, messages: [], box, title };
}

function follow(change) { // keep the page's end in sight, unless the reader has scrolled up
  const page = document.documentElement;
  const atEnd = innerHeight + scrollY > page.scrollHeight - 40;
  change();
  if (atEnd) scrollTo(0, page.scrollHeight);
}

function turn(where, role, words) {
  const made = document.createElement("div");
  made.className = `turn ${role}`;
  made.dir = "auto";
  made.textContent = words;
  where.box.append(made);
  return made;
}

async function begin() {
  problem("");
  const mine = ++dialogue;
  const [one, two] = [at("one").value, at("two").value];
  const blind = at("blind").checked;
  let met = null;
  if (two) met = await (await ask("meetings", { models: [one, two], blind })).json();
  if (mine !== dialogue) return;
  meeting = met;
  at("panes").replaceChildren();
  const labels = met ? met.names || ["Left", "Right"] : [one];
  panes = (met ? met.models : [one]).map((model, place) => pane(model, labels[place]));
  at("votes").hidden = true;
  at("said").textContent = "";
  at("text").focus();
}

async function answer(where, mine) {
  let shown;
  follow(() => { shown = turn(where, "assistant", "…"); });
  const response = await ask("chat/completions", {
    model: where.model, messages: where.messages, stream: true, max_tokens: MOST,
    temperature: Number(at("temperature").value),
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done || mine !== dialogue) break;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.replace(/^data: /, "");
      if (data === "[DONE]") continue;
      const piece = JSON.parse(data);
      if (piece.error) throw new Error(piece.error.message);
      text += piece.choices[0]?.delta.content || "";
      follow(() => { shown.textContent = text || "…"; });
    }
  }
  if (mine !== dialogue) return void reader.cancel();
  shown.textContent = text || "(empty)";
  where.messages.push({ role: "assistant", content: text });
}

async function send() {
  const words = at("text").value.trim();
  if (!words || busy || !panes.length) return;
  const mine = dialogue;
  busy = true;
  problem("");
  at("send").disabled = true;
  at("votes").hidden = true;
  at("text").value = "";
  for (const where of panes) {
    where.messages.push({ role: "user", content: words });
    turn(where, "user", words);
  }
  scrollTo(0, document.documentElement.scrollHeight);
  const results = await Promise.allSettled(panes.map((where) => answer(where, mine)));
  busy = false;
  at("send").disabled = false;
  if (mine !== dialogue) return;
  const failed = results.find((result) => result.status === "rejected");
  if (failed) return problem(`${failed.reason.message}. Begin a new dialogue.`);
  at("votes").hidden = !meeting;
}

async function vote(choice) {
  const rater = at("rater").value.trim();
  if (!rater) { problem("Give your name first: votes have one."); return at("rater").focus(); }
  problem("");
  const { names } = await (await ask("votes", { id: meeting.id, choice, rater })).json();
  panes.forEach((where, place) => { where.title.textContent = names[place]; });
  at("said").textContent = `Stored. First: ${names[0]}, second: ${names[1]}.`;
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = true;
}

const safely = (work) => async (event) => {
  event?.preventDefault();
  try { await work(event); } catch (error) { problem(error.message); }
};

function fresh() {
  for (const button of document.querySelectorAll("[data-choice]")) button.disabled = false;
  return begin();
}

at("form").addEventListener("submit", safely(send));
at("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) safely(send)(event);
});
for (const id of ["one", "two", "blind"]) at(id).addEventListener("change", safely(fresh));
at("new").addEventListener("click", safely(fresh));
for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", safely(() => vote(button.dataset.choice)));
}

safely(async () => {
  const { data } = await (await ask("models")).json();
  const option = (value, words) => { const made = new Option(words, value); return made; };
  at("one").replaceChildren(...data.map(({ id }) => option(id, id)));
  at("two").replaceChildren(option("", "(no second model)"), ...data.map(({ id }) => option(id, id)));
  await begin();
})();
