/* The quiz: asks picture by picture, keeps the answers in this browser, and scores them beside the nets. */
(function () {
  "use strict";
  var data = window.REPORTGEN_QUIZ;
  var quiz = document.getElementById("quiz");
  if (!data || !quiz || !data.questions.length) return;
  var KEPT = "reportgen-quiz-" + data.id;
  var get = function (name) { return document.getElementById("q-" + name); };
  var answers = []; // per question: {answer, right, hand} in the order of asking
  var at = 0;

  try {
    var kept = JSON.parse(localStorage.getItem(KEPT) || "[]");
    if (Array.isArray(kept)) {
      answers = kept.slice(0, data.questions.length).map(function (one) {
        return { answer: String(one.answer || "").slice(0, 80), right: one.right === true, hand: one.hand === true };
      });
    }
  } catch (error) {
    answers = []; // nothing kept, or not ours
  }

  function keep() {
    try {
      localStorage.setItem(KEPT, JSON.stringify(answers));
    } catch (error) {
      /* kept until the page is left */
    }
  }

  function normal(words) {
    return words.toLowerCase().replace(/[\s_-]+/g, " ").trim().replace(/^(a|an|the) /, "");
  }

  function row(words, heading) {
    var made = document.createElement("tr");
    words.forEach(function (word, place) {
      var cell = document.createElement(place ? "td" : "th");
      if (!place) cell.scope = "row";
      cell.textContent = word;
      made.append(cell);
    });
    if (heading) made.className = heading;
    return made;
  }

  function percent(value) {
    return Math.round(100 * value) + " %";
  }

  function ask(move) {
    at = answers.length;
    var done = at >= data.questions.length;
    get("ask").hidden = done;
    get("end").hidden = !done;
    document.getElementById("quiz-all").hidden = !done; // it would give the answers away
    if (done) return end(move);
    var one = data.questions[at];
    get("place").textContent = "Picture " + (at + 1) + " of " + data.questions.length;
    get("picture").src = one.file;
    get("picture").width = one.size[0];
    get("picture").height = one.size[1];
    get("picture").alt = "Damaged picture " + (at + 1) + ", to be named";
    get("answer").value = "";
    get("form").hidden = false;
    get("told").hidden = true;
    if (move) get("answer").focus();
  }

  function tell(answer) {
    var one = data.questions[at];
    var right = one.accepted.indexOf(normal(answer)) >= 0;
    answers.push({ answer: answer, right: right, hand: false });
    keep();
    get("form").hidden = true;
    get("told").hidden = false;
    get("truth").textContent = (right ? "Right: " : "It shows: ") + one.truth + " (" + one.words + ").";
    var rows = one.said.map(function (said) {
      var word = said.right === null ? " (it has no such class)" : said.right ? " (right)" : "";
      return row([said.net, said.name + word, percent(said.probability)], said.right ? "yes" : "");
    });
    rows.unshift(row(["You", (answer || "–") + (right ? " (right)" : ""), ""], right ? "yes" : ""));
    get("said").replaceChildren.apply(get("said"), rows);
    get("same").hidden = right || !answer;
    get("next").textContent = answers.length < data.questions.length ? "Next picture" : "The score";
    get("next").focus();
  }

  function share(known, right) {
    return known.length ? known.filter(right).length + " of " + known.length : "–";
  }

  function scores(right) {
    var all = data.questions.map(function (_, place) { return place; }).filter(function (place) {
      return right(place) !== null;
    });
    var first = all.filter(function (place) { return data.questions[place].first; });
    return [share(first, right), share(all, right)];
  }

  var nets = [];
  data.questions.forEach(function (one) {
    one.said.forEach(function (said) { if (nets.indexOf(said.net) < 0) nets.push(said.net); });
  });

  function saidOf(place, net) {
    return data.questions[place].said.filter(function (one) { return one.net === net; })[0] || null;
  }

  function end(move) {
    var rows = [row(["You"].concat(scores(function (place) { return answers[place].right; })), "yes")];
    nets.forEach(function (net) {
      rows.push(row([net].concat(scores(function (place) {
        var said = saidOf(place, net);
        return said ? said.right : null;
      }))));
    });
    get("scores").replaceChildren.apply(get("scores"), rows);
    if (move) get("score").focus();
  }

  function csv() {
    var head = ["picture", "damage", "shows", "first look", "your answer", "right", "counted by hand"];
    nets.forEach(function (net) { head.push(net, net + " probability", net + " right"); });
    var lines = [head].concat(answers.map(function (one, place) {
      var asked = data.questions[place];
      var line = [place + 1, asked.words, asked.truth, asked.first, one.answer, one.right, one.hand];
      nets.forEach(function (net) {
        var said = saidOf(place, net) || { name: "", probability: "", right: null };
        line.push(said.name, said.probability, said.right === null ? "" : said.right);
      });
      return line;
    }));
    return lines.map(function (line) {
      return line.map(function (value) {
        var text = String(value);
        if (/^[=+\-@\t]/.test(text) && typeof value === "string") text = "'" + text; // no formula in a spreadsheet
        return '"' + text.replace(/"/g, '""') + '"';
      }).join(",");
    }).join("\r\n") + "\r\n";
  }

  get("form").addEventListener("submit", function (event) {
    event.preventDefault();
    var answer = get("answer").value.trim();
    if (answer) tell(answer);
    else get("answer").focus();
  });
  get("pass").addEventListener("click", function () { tell(""); });
  get("next").addEventListener("click", function () { ask(true); });
  get("same").addEventListener("click", function () {
    answers[answers.length - 1].right = answers[answers.length - 1].hand = true;
    keep();
    get("truth").textContent = "Counted as right: " + data.questions[at].truth + ".";
    get("same").hidden = true;
    get("next").focus();
  });
  get("again").addEventListener("click", function () {
    answers = [];
    keep();
    ask(true);
  });
  get("export").addEventListener("click", function () {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" }));
    link.download = "quiz.csv";
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
  });

  get("names").replaceChildren.apply(get("names"), data.names.map(function (name) {
    var option = document.createElement("option");
    option.value = name;
    return option;
  }));
  quiz.hidden = false;
  ask(false);
})();
