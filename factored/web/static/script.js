/* Comfort only: every page is complete without it. */
"use strict";
{
  const all = (selector) => document.querySelectorAll(selector);
  const started = Date.now();

  /* m:ss until the seconds are over, then done() once. */
  const countDown = (clock, seconds, done) => {
    const tick = () => {
      const left = Math.ceil(seconds - (Date.now() - started) / 1000);
      clock.hidden = left <= 0;
      clock.textContent = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
      if (left <= 0) {
        clearInterval(timer);
        done();
      }
    };
    const timer = setInterval(tick, 500);
    tick();
  };

  for (const clock of all("[data-left]")) {
    const over = clock.parentNode.querySelector(".over > *");
    countDown(clock, Number(clock.dataset.left), () => { over.hidden = false; });
  }

  for (const button of all("button[data-wait]")) {
    if (Number(button.dataset.wait) > 0) {
      button.disabled = true;
      countDown(button.querySelector(".clock"), Number(button.dataset.wait), () => {
        button.disabled = false;
      });
    }
  }

  /* A code sent twice would be refused as used: the second press of a form waits. */
  for (const form of all("form[method=post]")) {
    let sent = 0;
    form.addEventListener("submit", (event) => {
      if (Date.now() - sent < 3000) event.preventDefault();
      else sent = Date.now();
    });
  }

  /* Six digits are a whole code: send them, once, and only after an edit. A box that is still to be
     ticked comes after the code: then the button is pressed by hand. */
  for (const field of all("input.digits")) {
    let waiting = true;
    const box = field.form.elements.remember;
    field.addEventListener("input", () => {
      const digits = field.value.normalize("NFKC").replace(/[\s-]/g, "");
      if (waiting && !(box && !box.checked) && /^\p{Nd}{6}$/u.test(digits)) {
        waiting = false;
        field.form.querySelector("button[type=submit]").click();
      }
    });
  }

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      /* Over plain http there is no clipboard object. */
      const area = document.createElement("textarea");
      area.className = "clip";
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };
  for (const button of all("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    const items = [...source.querySelectorAll("li")].map((item) => item.textContent.trim());
    const text = items.length ? items.join("\n") + "\n" : source.textContent.replace(/\s/g, "");
    const label = button.textContent;
    button.setAttribute("aria-live", "polite");
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copy(text);
      button.focus();
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }

  for (const button of all("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }

  for (const time of all("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      time.title = time.textContent;
      time.textContent = moment.toLocaleString(document.documentElement.lang, {
        dateStyle: "medium",
        timeStyle: "short",
      });
    }
  }
}
