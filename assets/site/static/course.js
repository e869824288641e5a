/* Panels that switch pictures, guesses with buttons, and what is open on paper. Without it, all can still be read. */
"use strict";

const stopOf = input => {
  if (input.type !== "checkbox") return input.value;
  return input.dataset.values.split(",")[Number(input.checked)];
};

function bringToLife(panel) {
  const shots = JSON.parse(panel.querySelector("script").textContent);
  const inputs = [...panel.querySelectorAll(".course-knobs input, .course-knobs select")];
  const texts = new Map(inputs.map(each => [each, each.closest(".course-knob").querySelector("label").innerHTML]));
  const [image, setting, sentence, refused] = ["img", ".course-setting", ".course-sentence", ".course-refused"]
    .map(each => panel.querySelector(each));

  const show = () => {
    for (const input of inputs) if (input.dataset.stops) {
      const text = JSON.parse(input.dataset.stops)[input.value];
      input.setAttribute("aria-valuetext", text);
      input.nextElementSibling.value = text;
    }
    const shot = shots[inputs.map(stopOf).join(",")];
    for (const input of inputs) {
      const name = input.id.slice(panel.id.length + 1), knob = input.closest(".course-knob");
      input.disabled = name in shot.idle;
      knob.classList.toggle("course-idle", input.disabled);
      knob.querySelector("label").innerHTML = shot.idle[name] ?? texts.get(input);
    }
    refused.hidden = !shot.refused;
    refused.textContent = shot.refused ? `Not possible: ${shot.refused}` : "";
    panel.classList.toggle("course-old", Boolean(shot.refused));
    if (shot.refused) return;
    image.src = shot.src;
    image.alt = shot.alt;
    setting.textContent = `Setting: ${shot.setting}`;
    sentence.textContent = shot.sentence;
  };

  const fetchAll = new IntersectionObserver(seen => {  // so that the next move finds its picture here
    if (!seen.some(each => each.isIntersecting)) return;
    fetchAll.disconnect();
    for (const src of new Set(Object.values(shots).map(each => each.src))) if (src) new Image().src = src;
  });
  fetchAll.observe(panel);
  panel.querySelector("form").hidden = false;
  panel.addEventListener("input", show);
  show();
}

function ask(guess) {
  const question = guess.querySelector("p").lastChild.textContent.trim();
  for (const item of guess.querySelectorAll("li")) {
    const button = Object.assign(document.createElement("button"), {type: "button", textContent: item.textContent});
    button.setAttribute("aria-pressed", "false");
    item.replaceChildren(button);
    button.addEventListener("click", () => {
      for (const each of guess.querySelectorAll("button")) each.setAttribute("aria-pressed", String(each === button));
      const answers = document.querySelectorAll(`.tag_answers-${guess.dataset.claim.replace(".", "-")} details.above-output`);
      for (const each of answers) each.open = true;
      for (const small of document.querySelectorAll("td small")) if (small.textContent.trim() === question) {
        small.parentNode.firstChild.textContent = button.textContent;
      }
    });
  }
}

function openAll(button) {
  const results = [...document.querySelectorAll("details.hide.above-output")];
  button.hidden = !results.length;
  button.addEventListener("click", () => results.forEach(each => { each.open = true; }));
}

addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".course-panel").forEach(bringToLife);
  document.querySelectorAll(".course-guess").forEach(ask);
  document.querySelectorAll(".course-all").forEach(openAll);
});

/* On paper nobody can open anything: results and answers are open there, code and solutions are left out. */
const CLOSED = ".course-solution, .course-hint, .course-bar *, .above-input, .text_html details";
let opened = [];
addEventListener("beforeprint", () => {
  const all = document.querySelectorAll("article details:not([open])");
  opened = [...all].filter(each => !each.matches(CLOSED));
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
