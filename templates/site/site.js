/* The theme's button, the lightbox, and arrow keys from picture to picture. Without scripts the system's theme is
   followed and pictures are plain links. */
(function () {
  "use strict";
  var root = document.documentElement;

  function dark() {
    if (root.dataset.theme) return root.dataset.theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  var button = document.getElementById("theme");
  if (button) {
    var name = function () {
      button.textContent = dark() ? "Light" : "Dark";
      button.setAttribute("aria-label", dark() ? "Light: switch to the light theme" : "Dark: switch to the dark theme");
    };
    button.hidden = false;
    name();
    button.addEventListener("click", function () {
      root.dataset.theme = dark() ? "light" : "dark";
      try {
        localStorage.setItem("reportgen-theme", root.dataset.theme);
      } catch (error) {
        /* kept for this page only */
      }
      name();
    });
  }

  /* ------------------------------------------------------------------------------------------------------ the lightbox */

  var box, picture, words, source;
  var at = 0;
  var links = [];

  function build() {
    box = document.createElement("dialog");
    source = document.createElement("a"); // the file itself, to keep or to open alone
    picture = document.createElement("img");
    words = document.createElement("p");
    var bar = document.createElement("p");
    box.className = "lightbox";
    bar.className = "steps";
    box.setAttribute("aria-label", "Picture");
    words.setAttribute("aria-live", "polite");
    source.textContent = "The file";
    [["Previous", -1], ["Next", 1], ["Close", 0]].forEach(function (pair) {
      var step = document.createElement("button");
      step.type = "button";
      step.textContent = pair[0];
      step.hidden = pair[1] !== 0 && links.length < 2;
      step.addEventListener("click", function () {
        if (pair[1]) show(at + pair[1]);
        else box.close();
      });
      bar.append(step);
    });
    bar.append(source);
    box.append(picture, words, bar);
    document.body.append(box);
    box.addEventListener("keydown", function (event) {
      var step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(at + step);
    });
    box.addEventListener("click", function (event) {
      if (event.target === box) box.close();
    });
    box.addEventListener("close", function () {
      if (links[at] && links[at].isConnected) links[at].focus();
    });
  }

  function show(index) {
    at = (index + links.length) % links.length;
    var small = links[at].querySelector("img");
    picture.src = source.href = links[at].href;
    picture.width = small.getAttribute("width") || 448;
    picture.height = small.getAttribute("height") || 448;
    picture.alt = small.alt;
    words.textContent = links[at].dataset.caption || "";
    var note = links[at].parentElement.querySelector("small");
    if (note && note.textContent) words.textContent += " (" + note.textContent.trim() + ")";
  }

  document.addEventListener("click", function (event) {
    var link = event.target.closest ? event.target.closest("a.t") : null;
    if (!link || event.defaultPrevented || event.button || typeof HTMLDialogElement === "undefined") return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || !link.querySelector("img")) return;
    event.preventDefault();
    links = Array.prototype.filter.call(document.querySelectorAll("a.t"), function (one) {
      return one.querySelector("img") && one.getClientRects().length;
    });
    if (!box) build();
    show(links.indexOf(link));
    box.showModal();
  });

  /* ----------------------------------------------------------------------------------------- arrows in walls and sheets */

  var GRIDS = ".wall, .photos, .sheet-of, .neighbours, [data-grid]";
  var WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /* The nearest picture in a direction, by where it stands: the same in tables, lists and on narrow screens. */
  function nearest(link, way, all) {
    var own = link.getBoundingClientRect();
    var x = (own.left + own.right) / 2;
    var y = (own.top + own.bottom) / 2;
    var best = null;
    var least = Infinity;
    all.forEach(function (other) {
      var box = other.getBoundingClientRect();
      if (other === link || !box.width) return;
      var dx = (box.left + box.right) / 2 - x;
      var dy = (box.top + box.bottom) / 2 - y;
      var along = dx * way[0] + dy * way[1];
      var across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
      if (along < 4 || (way[0] && across > own.height / 2 + 4)) return; // left and right stay in the row
      if (along + 3 * across < least) {
        least = along + 3 * across;
        best = other;
      }
    });
    return best;
  }

  document.addEventListener("keydown", function (event) {
    var way = WAYS[event.key];
    if (!way || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    var link = event.target.closest ? event.target.closest("a") : null;
    var grid = link ? link.closest(GRIDS) : null;
    if (!grid) return;
    var sheet = grid.matches(".sheet-of"); // one picture under many links
    var all = Array.prototype.filter.call(grid.querySelectorAll("a"), function (one) {
      return sheet || one.querySelector("img");
    });
    if (all.indexOf(link) < 0) return;
    var next = nearest(link, way, all);
    if (!next) return; // at the edge the page scrolls as ever
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest", inline: "nearest" }); // scroll-padding keeps it out from under the heads
  });
})();
