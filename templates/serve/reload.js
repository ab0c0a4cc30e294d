// Part of `reportgen serve` only: shows the page anew when the report was. Pages on disk know nothing of it.
"use strict";
{
  const seen = document.currentScript.dataset.token;
  const words = document.getElementById("reportgen-words");
  let source = null;

  const listen = () => {
    source = new EventSource("/~reportgen/events");
    source.addEventListener("message", (event) => {
      const now = JSON.parse(event.data);
      if (now.token !== seen) {
        source.close();
        window.location.reload();
      } else if (words !== null) {
        words.textContent = now.words;
      }
    });
  };

  // A browser opens six connections to a host at most: pages in the background must not hold them all.
  document.addEventListener("visibilitychange", () => {
    if (source !== null) {
      source.close();
    }
    if (!document.hidden) {
      listen();
    }
  });
  window.addEventListener("pagehide", () => source !== null && source.close());
  if (!document.hidden) {
    listen();
  }
}
