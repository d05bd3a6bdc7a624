// Forms that stream: one with data-progress shows how far its work is. Without a script it is sent as any other form.
"use strict";

(() => {
  const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

  // Calls `take(name, data)` for each event of a text/event-stream that comes in pieces.
  function eventReader(take) {
    let rest = "";
    return (text) => {
      rest += text;
      const blocks = rest.split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        let name = "message", data = "";
        for (const line of block.split("\n")) {
          if (line.startsWith("event: ")) name = line.slice(7);
          else if (line.startsWith("data: ")) data += line.slice(6);
        }
        if (data) take(name, JSON.parse(data));
      }
    };
  }

  function message(body, status) {
    if (body?.error?.message) return body.error.message;
    return status === 401 ? "Your session has ended: log in again." : `The proxy answered with status ${status}.`;
  }

  // Posts a form's fields and hands each event of the answer on. Resolves once the answer has ended.
  async function postStream(url, fields, take, signal) {
    const response = await fetch(url, {
      method: "POST", body: fields, signal, credentials: "same-origin", redirect: "error",
      headers: { "X-CSRF-Token": token, Accept: "text/event-stream" },
    });
    if (!response.ok) {
      const body = await response.json().catch(() => null);
      throw Object.assign(new Error(message(body, response.status)), { param: body?.error?.param, status: response.status });
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const read = eventReader(take);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      read(value);
    }
  }

  const bytes = (n) => (n < 1024 ? `${n} B` : n < 1048576 ? `${(n / 1024).toFixed(1)} KiB` : `${(n / 1048576).toFixed(1)} MiB`);
  const whole = (n) => Math.round(n).toLocaleString("en-US");

  // fetch does not tell how much of a body has gone up; XMLHttpRequest does, and gives the answer in pieces too.
  function upload(form, fields, show) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      let seen = 0, result = null, failed = null;
      const read = eventReader((name, data) => {
        if (name === "progress") show("read", data.done, data.total, data.tokens_per_s);
        if (name === "result") result = data;
        if (name === "error") failed = message(data, 500);
      });
      request.open("POST", form.getAttribute("action"));  // form.action is the field of this name, where there is one
      request.setRequestHeader("X-CSRF-Token", token);
      request.setRequestHeader("Accept", "text/event-stream");
      request.upload.addEventListener("progress", (event) => show("sent", event.loaded, event.total));
      request.upload.addEventListener("load", () => show("wait"));
      request.addEventListener("progress", () => {
        const text = request.responseText;
        if (request.status === 200) read(text.slice(seen));
        seen = text.length;
      });
      request.addEventListener("error", () => reject(new Error("The connection to the proxy broke off.")));
      request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
      request.addEventListener("load", () => {
        if (request.status !== 200) {
          let body = null;
          try { body = JSON.parse(request.responseText); } catch { /* not JSON: the status says it */ }
          reject(new Error(message(body, request.status)));
        } else if (result) resolve(result);
        else reject(new Error(failed ?? "The proxy's answer broke off."));
      });
      form.addEventListener("kvproxy-stop", () => request.abort(), { once: true });
      request.send(fields);
    });
  }

  function shower(box, bar, text) {
    box.hidden = false;
    bar.removeAttribute("value");
    text.textContent = "Starting…";
    return (phase, done, total, rate) => {
      if (phase === "wait" || !total) {
        bar.removeAttribute("value");
        text.textContent = "Sent. Waiting for the model…";
        return;
      }
      bar.max = total;
      bar.value = done;
      text.textContent = phase === "sent"
        ? `Sent ${bytes(done)} of ${bytes(total)}`
        : `Read ${whole(done)} of ${whole(total)} tokens${rate ? `, ${whole(rate)} a second` : ""}`;
    };
  }

  // What the server would refuse after all of it was sent, or in the middle, is refused before.
  function fault(form, fields) {
    const most = Number(form.dataset.most);
    const size = new Blob([...fields.values()]).size;
    return most && size > most ? `This has ${bytes(size)}, and ${bytes(most)} are taken at most. Nothing was sent.` : "";
  }

  // Ends the work, as leaving the page does.
  function stopper(form, box) {
    const stop = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Stop" });
    stop.addEventListener("click", () => form.dispatchEvent(new Event("kvproxy-stop")));
    box.append(stop);
    return stop;
  }

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !("progress" in form.dataset) || event.defaultPrevented) return;
    event.preventDefault();
    document.getElementById("problems")?.replaceChildren();
    const box = form.querySelector(".progress");
    const buttons = [...form.querySelectorAll("button")];
    const fields = new FormData(form, event.submitter);
    const refused = fault(form, fields);
    if (refused) {
      window.kvproxy?.problem(refused);
      return;
    }
    const show = shower(box, box.querySelector("progress"), box.querySelector("[data-progress-text]"));
    const text = box.querySelector("[data-progress-text]");
    for (const button of buttons) button.disabled = true;
    const stop = stopper(form, box);
    try {
      const result = await upload(form, fields, show);
      text.textContent = result.said ?? "Done";
      if (result.said) sessionStorage.setItem("kvproxy-said", JSON.stringify(result));  // kvproxy.js shows it
      if (result.path) window.location.assign(result.path);
    } catch (error) {
      const stopped = error.name === "AbortError";
      box.hidden = !stopped;
      text.textContent = stopped ? "Stopped. Nothing was done." : "";
      if (!stopped) window.kvproxy?.problem(error.message);
    } finally {
      stop.remove();
      for (const button of buttons) button.disabled = false;
    }
  });

  window.kvproxyStreams = { postStream, whole };
})();
