// The playground: asks one question cold, then warm, and shows both streams and what they came to.
"use strict";

(() => {
  const form = document.getElementById("ask");
  if (!form) return;
  const { postStream, whole } = window.kvproxyStreams;
  const button = document.getElementById("ask-button");
  const cancel = document.getElementById("cancel");
  const verdict = document.getElementById("verdict");
  const question = document.getElementById("question");
  const chosen = document.getElementById("document");
  let stop = null;

  const seconds = (s) => (s < 0.001 ? `${(s * 1e6).toFixed(0)} µs` : s < 1 ? `${(s * 1e3).toPrecision(3)} ms`
    : s < 60 ? `${s.toFixed(s < 10 ? 2 : 1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`);

  for (const hidden of document.querySelectorAll(".scripted")) hidden.classList.remove("scripted");

  // A question that was not changed follows the document.
  let suggested = chosen.selectedOptions[0]?.dataset.question;
  chosen.addEventListener("change", () => {
    const next = chosen.selectedOptions[0].dataset.question;
    if (question.value === suggested || !question.value) question.value = next;
    suggested = next;
  });

  function part(side) {
    const box = document.querySelector(`[data-side="${side}"]`);
    const find = (name) => box.querySelector(`[data-${name}]`);
    return { box, ttft: find("ttft"), bar: find("bar"), state: find("state"), cached: find("cached"),
      total: find("total"), byte: find("byte"), price: find("price"), answer: find("answer") };
  }

  function clear(side) {
    const at = part(side);
    for (const one of [at.ttft, at.cached, at.total, at.byte, at.price]) if (one) one.textContent = "–";
    at.answer.textContent = "";
    at.bar.value = 0;
    at.state.textContent = side === "cold" ? "Waiting" : "Waits for the cold side to end";
    at.box.classList.remove("asking", "failed");
  }

  // Asks one side. Resolves to its figures and tokens.
  async function ask(side, signal) {
    const at = part(side);
    const fields = new FormData(form);
    fields.set("side", side);
    const began = performance.now();
    const got = { text: "", tokens: [], ttft: null, started: null, done: null };
    at.box.classList.add("asking");
    at.state.textContent = side === "cold" ? "Reading the document…" : "Loading what was kept…";
    const clock = setInterval(() => { at.ttft.textContent = seconds((performance.now() - began) / 1e3); }, 100);
    const take = (name, data) => {
      if (name === "started") {
        clearInterval(clock);
        got.started = data;
        at.ttft.textContent = seconds(data.ttft_s);
        at.byte.textContent = seconds((performance.now() - began) / 1e3);
        if (data.cached_tokens !== null) at.cached.textContent = `${whole(data.cached_tokens)} of ${whole(data.prompt_tokens)} tokens`;
        at.state.textContent = "Writing…";
      } else if (name === "piece") {
        got.text += data.text;
        got.tokens.push(...data.tokens);
        at.answer.textContent = got.text;
      } else if (name === "done") {
        got.done = data;
        at.cached.textContent = `${whole(data.cached_tokens)} of ${whole(data.prompt_tokens)} tokens`;
        at.total.textContent = seconds((performance.now() - began) / 1e3);
        if (at.price && data.cost) at.price.textContent = `${data.cost.cost} ${data.cost.currency}`;
        at.state.textContent = outcome(side, got);
      } else if (name === "error") {
        throw new Error(data.error?.message ?? "The answer broke off.");
      }
    };
    try {
      await postStream(form.dataset.answer, fields, take, signal);
      if (!got.done) throw new Error("The answer broke off.");
      return got;
    } catch (error) {
      at.ttft.textContent = got.started ? at.ttft.textContent : "–";
      at.state.textContent = error.name === "AbortError" ? "Cancelled"
        : error.param === "kv_reuse" ? form.dataset.noCold : error.message;
      at.box.classList.add("failed");
      throw error;
    } finally {
      clearInterval(clock);
      at.box.classList.remove("asking");
    }
  }

  function outcome(side, got) {
    if (got.started.hit) return "Hit: the document was not read again";
    return side === "cold" ? "Miss, as asked for: every token was read" : `Miss (${got.started.reason}): nothing was taken from kept KV`;
  }

  function compare(cold, warm) {
    const of = Math.max(cold.tokens.length, warm.tokens.length);
    let same = 0;
    while (same < of && cold.tokens[same] === warm.tokens[same]) same += 1;
    return { same, of, equal: same === of && cold.text === warm.text };
  }

  function judge(cold, warm) {
    const ratio = cold.started.ttft_s / warm.started.ttft_s;
    const most = Math.max(cold.started.ttft_s, warm.started.ttft_s);
    for (const [side, got] of [["cold", cold], ["warm", warm]]) part(side).bar.value = got.started.ttft_s / most;
    const { same, of, equal } = compare(cold, warm);
    const lines = [
      ["verdict-ratio", [["strong", `${ratio.toFixed(ratio < 10 ? 1 : 0)}×`], ["span", ratio >= 1
        ? `sooner to the first token: ${seconds(warm.started.ttft_s)} instead of ${seconds(cold.started.ttft_s)}`
        : `as soon: the warm side took longer here, ${seconds(warm.started.ttft_s)} against ${seconds(cold.started.ttft_s)}`]]],
      [`verdict-equal ${equal ? "good" : "bad"}`, [["span", equal ? `The answers are equal: ${same} of ${of} tokens.`
        : `The answers differ after ${same} of ${of} tokens.`]]],
    ];
    const prices = [cold.done.cost, warm.done.cost];
    if (prices[0] && prices[1]) {
      lines.push(["verdict-price", [["span", `Price: ${prices[1].cost} instead of ${prices[0].cost} ${prices[0].currency}.`]]]);
    }
    verdict.replaceChildren(...lines.map(([kind, parts]) => {
      const line = Object.assign(document.createElement("p"), { className: kind });
      parts.forEach(([tag, text], at) => line.append(at ? " " : "", Object.assign(document.createElement(tag), { textContent: text })));
      return line;
    }));
    verdict.hidden = false;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (stop) return;
    stop = new AbortController();
    document.getElementById("problems")?.replaceChildren();
    verdict.hidden = true;
    clear("cold");
    clear("warm");
    button.disabled = true;
    cancel.hidden = false;
    let cold = null;
    try {
      cold = await ask("cold", stop.signal).catch((error) => {
        // A document that is read by a grant has no cold side: the warm one is worth seeing all the same.
        if (error.param !== "kv_reuse") throw error;
        return null;
      });
      const warm = await ask("warm", stop.signal);
      if (cold) judge(cold, warm);
    } catch (error) {
      if (error.name === "AbortError") {
        for (const side of ["cold", "warm"]) {
          const { state } = part(side);
          if (state.textContent.startsWith("Wait")) state.textContent = "Not asked";
        }
      } else window.kvproxy?.problem(error.message);
    } finally {
      stop = null;
      button.disabled = false;
      cancel.hidden = true;
    }
  });

  cancel.addEventListener("click", () => stop?.abort());
  window.addEventListener("pagehide", () => stop?.abort());
})();
