/* Runs once for each part of the page, inside a function that is given: element, trigger, props, watch.
   Clicks and forms become two events, 'say' and 'act'; nothing here writes text into the page. */
const state = (window.deskhand ??= { open: new Map(), sentAt: 0, count: 0 });
const scroller = () => document.getElementById("dh-scroll");
const busy = () => !!document.querySelector('#dh-live [data-busy="1"]') || Date.now() - state.sentAt < 1500;

function say(text) {
  if (busy() || !text.trim()) return false;
  state.sentAt = Date.now();
  trigger("say", { text });
  return true;
}

function fit(area) {
  area.style.height = "auto";
  area.style.height = Math.min(area.scrollHeight + 2, 160) + "px";
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-say], [data-do]");
  if (!button || !element.contains(button)) return;
  if (button.dataset.say !== undefined) {
    say(button.dataset.say);
    return;
  }
  const { do: what, id = "", rating = "0" } = button.dataset;
  if ((what === "new" || what === "lang") && busy()) return;
  if (what === "why") state.open.set("behind", true);
  trigger("act", { what, id, rating, text: "" });
  if (what === "why" && !matchMedia("(min-width: 900px)").matches) {
    setTimeout(() => document.querySelector("#dh-side details").open = true, 150);
  }
  if (what === "new") document.getElementById("dh-input")?.focus();
});

element.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const area = form.querySelector("textarea");
  if (form.dataset.form === "say") {
    if (say(area.value)) {
      area.value = "";
      fit(area);
    }
    area.focus();
  } else if (area.value.trim() || form.querySelector("select")?.value) {
    const intent = form.querySelector("select")?.value ?? "";
    trigger("act", { what: "correct", id: form.dataset.id, rating: "-1", text: area.value, intent });
  } else {
    area.focus();
  }
});

element.addEventListener("keydown", (event) => {
  // While an input method composes (Chinese, Japanese), Enter picks a character and must not send.
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229 || event.target.tagName !== "TEXTAREA") return;
  const form = event.target.form;
  if (form.dataset.form === "say" ? !event.shiftKey : event.ctrlKey || event.metaKey) {
    event.preventDefault();
    form.requestSubmit();
  }
});

element.addEventListener("input", (event) => {
  if (event.target.tagName === "TEXTAREA") fit(event.target);
});

element.addEventListener(
  "toggle",
  (event) => {
    if (event.target.dataset.key) state.open.set(event.target.dataset.key, event.target.open);
  },
  true,
);

function settle() {
  // A redraw drops what the reader unfolded: unfold it again before it is painted.
  for (const fold of element.querySelectorAll("details[data-key]")) {
    const known = state.open.get(fold.dataset.key);
    fold.open = known ?? (fold.dataset.key === "behind" && matchMedia("(min-width: 900px)").matches);
  }
  const log = element.querySelector(".dh-log");
  if (log) {
    document.documentElement.lang = log.lang;
    if (Number(log.dataset.count) !== state.count) {
      state.count = Number(log.dataset.count);
      state.sentAt = 0;
      scroller().scrollTop = state.count ? scroller().scrollHeight : 0;
    }
  }
  if (element.querySelector('[data-busy="1"]')) scroller().scrollTop = scroller().scrollHeight;
}

watch("value", settle);
settle();
