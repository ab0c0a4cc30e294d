/* Sets the theme that was chosen before, ahead of the first paint. */
(function () {
  "use strict";
  try {
    var chosen = localStorage.getItem("reportgen-theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch (error) {
    /* a browser that keeps nothing follows the system */
  }
})();
