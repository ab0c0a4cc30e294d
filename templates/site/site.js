/* The theme's button and the lightbox. Without scripts the system's theme is followed and pictures are plain links. */
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
      button.setAttribute("aria-label", dark() ? "Switch to the light theme" : "Switch to the dark theme");
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

  var links = Array.prototype.slice.call(document.querySelectorAll("a.t"));
  if (!links.length || typeof HTMLDialogElement === "undefined") return;
  var box = document.createElement("dialog");
  var picture = document.createElement("img");
  var words = document.createElement("p");
  var bar = document.createElement("p");
  var at = 0;
  box.className = "lightbox";
  bar.className = "steps";
  box.setAttribute("aria-label", "Picture");
  [["Previous", -1], ["Next", 1], ["Close", 0]].forEach(function (pair) {
    var step = document.createElement("button");
    step.type = "button";
    step.textContent = pair[0];
    step.addEventListener("click", function () {
      if (pair[1]) show(at + pair[1]);
      else box.close();
    });
    bar.append(step);
  });
  box.append(picture, words, bar);
  document.body.append(box);

  function show(index) {
    at = (index + links.length) % links.length;
    var small = links[at].querySelector("img");
    picture.src = links[at].href;
    picture.width = small.width ? small.getAttribute("width") : 448;
    picture.height = small.getAttribute("height");
    picture.alt = small.alt;
    words.textContent = links[at].dataset.caption || "";
    var note = links[at].parentElement.querySelector("small");
    if (note && note.textContent) words.textContent += " (" + note.textContent.trim() + ")";
  }

  links.forEach(function (link, index) {
    link.addEventListener("click", function (event) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      show(index);
      box.showModal();
    });
  });
  box.addEventListener("keydown", function (event) {
    if (event.key === "ArrowRight") show(at + 1);
    else if (event.key === "ArrowLeft") show(at - 1);
  });
  box.addEventListener("click", function (event) {
    if (event.target === box) box.close();
  });
  box.addEventListener("close", function () {
    links[at].focus();
  });
})();
