// The console keeps itself up to date: every 30 seconds, while it is seen, it fetches its own page and puts the parts marked
// data-live in place. What is typed, unfolded, focused or scrolled stays. Without this script the page reloads itself.
(() => {
  "use strict";
  const EVERY_MS = 30000;
  const status = document.getElementById("stale");
  let busy = false, last = Date.now();

  const key = (element) => element && element.closest("[data-key]") && element.closest("[data-key]").dataset.key;

  function swap(old, fresh) {
    if (old.innerHTML === fresh.innerHTML) return;
    const open = new Set([...old.querySelectorAll("details[open]")].map(key));
    const scrolled = [...old.querySelectorAll("[data-key]")].filter((one) => one.scrollLeft).map((one) => [one.dataset.key, one.scrollLeft]);
    const inside = old.contains(document.activeElement) ? key(document.activeElement) : null;
    old.replaceChildren(...fresh.childNodes);
    for (const one of old.querySelectorAll("[data-key]")) {
      if (one.tagName === "DETAILS" && open.has(one.dataset.key)) one.open = true;
      const left = scrolled.find((each) => each[0] === one.dataset.key);
      if (left) one.scrollLeft = left[1];
      if (inside && one.dataset.key === inside) one.focus({ preventScroll: true });
    }
  }

  async function refresh() {
    if (busy || document.hidden || !getSelection().isCollapsed) return;
    busy = true;
    try {
      const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" }, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const x = scrollX, y = scrollY;
      for (const old of document.querySelectorAll("[data-live]")) {
        const fresh = page.querySelector(`[data-live="${old.dataset.live}"]`);
        if (fresh) swap(old, fresh);
      }
      scrollTo(x, y);
      document.title = page.title;
      if (status) status.hidden = true;
      last = Date.now();
    } catch (error) {
      if (status) status.hidden = false;
    } finally {
      busy = false;
    }
  }

  if (document.querySelector("[data-live]")) {
    setInterval(refresh, EVERY_MS);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && Date.now() - last > EVERY_MS) refresh(); });
    document.addEventListener("deskhand:refresh", refresh);
  }
})();
