// Follows the cluster: when the node says that something changed, this page is
// asked for again and the parts marked data-live are exchanged (data-page says
// where: what a POST has shown cannot be got again). All pages work without it.
"use strict";
(() => {
  const body = document.body, lamp = document.getElementById("lamp");
  document.documentElement.classList.add("js");
  for (const e of document.querySelectorAll("[data-submit]"))
    e.addEventListener("change", () => e.form.requestSubmit());

  let skew = Date.parse(body.dataset.now) - Date.now(); // how far the node's clock is ahead of ours, ms

  // Ages go on between two answers, so that no figure looks fresher than it is.
  const span = (s) => s < 10 ? (Math.floor(s * 10) / 10).toFixed(1) + "s" : s < 60 ? Math.floor(s) + "s" : s < 7200 ? Math.floor(s / 60) + "m" : s < 172800 ? Math.floor(s / 3600) + "h" : Math.floor(s / 86400) + "d";
  setInterval(() => {
    const now = Date.now() + skew;
    for (const t of document.querySelectorAll("time")) {
      const text = span(Math.max(0, (now - Date.parse(t.dateTime)) / 1000));
      if (t.textContent !== text) t.textContent = text;
    }
  }, 1000);

  const watch = body.dataset.watch;
  if (!watch || !window.EventSource || new URLSearchParams(location.search).get("refresh") > 0) return;
  let busy = false, again = false;

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(body.dataset.page, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { lost(); }
    // Not more often than twice a second, however much happens.
    setTimeout(() => { busy = false; if (again) { again = false; refresh(); } }, 500);
  }

  function exchange(fresh) {
    for (const old of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(old.id);
      if (!now || now.innerHTML === old.innerHTML) continue;
      const focus = old.contains(document.activeElement) ? document.activeElement : null;
      const key = focus && (focus.id || focus.getAttribute("aria-label") || focus.textContent);
      const scroll = [...old.querySelectorAll(".scroll, pre, .map")].map((e) => [e.scrollLeft, e.scrollTop]);
      old.replaceChildren(...now.childNodes);
      [...old.querySelectorAll(".scroll, pre, .map")].forEach((e, i) => { if (scroll[i]) [e.scrollLeft, e.scrollTop] = scroll[i]; });
      if (key) [...old.querySelectorAll("a, button, select, pre")].find((e) => (e.id || e.getAttribute("aria-label") || e.textContent) === key)?.focus({ preventScroll: true });
    }
    // Forms that stay as they are must not end with the run of srrd they came from.
    const token = fresh.querySelector("input[name=token]");
    if (token) for (const e of document.querySelectorAll("input[name=token]")) e.value = token.value;
    const head = fresh.querySelector("h1");
    if (head) document.querySelector("h1").replaceChildren(...head.childNodes);
    document.title = fresh.title;
  }

  let last = 0;
  function alive(taken) {
    last = Date.now();
    if (taken) skew = Date.parse(taken) - last;
    body.classList.remove("lost");
    lamp.className = "lamp live";
    lamp.textContent = "live";
  }
  function lost() {
    body.classList.add("lost");
    lamp.className = "lamp lost";
    lamp.textContent = "no answer from this node for " + span((Date.now() - last) / 1000) + "; what you see is old";
  }

  // A browser comes again by itself when the connection broke, but not when it
  // was refused in words, such as by a srrd that is busy or has just started.
  function follow() {
    const source = new EventSource(watch);
    source.addEventListener("state", (e) => { alive(JSON.parse(e.data).taken); refresh(); });
    source.addEventListener("tick", (e) => alive(JSON.parse(e.data).taken));
    source.addEventListener("error", () => {
      lost();
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
    });
  }
  last = Date.now();
  follow();
  // The node ticks every 5 s; silence is not taken for health.
  setInterval(() => { if (Date.now() - last > 12000) lost(); }, 1000);
})();
