// Without this the page is the same, and "look again" brings the newest. With it, parts that have changed are
// replaced every ten seconds while somebody looks.
"use strict";

async function refresh() {
  if (document.hidden) {
    return;
  }
  let silent = false;
  try {
    const reply = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(8000) });
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(part.id);
      if (reply.ok && now && !now.isEqualNode(part)) {
        part.replaceWith(now);
      }
    }
    document.title = fresh.title;
    silent = !reply.ok;
  } catch {
    silent = true;
  }
  document.getElementById("silent").hidden = !silent;
}

setInterval(refresh, 10000);
document.addEventListener("visibilitychange", refresh);
