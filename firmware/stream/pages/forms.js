// Forms that speak to the camera's own interface: `data-api="METHOD PATH"`, then on to `data-then`.

import { logIn, addPasskey } from "./passkey.js";

function fields(form) {
  const body = {};
  for (const input of form.elements) {
    if (!input.name || (input.type === "checkbox" && !input.checked)) continue;
    const kind = input.dataset.type;
    if (kind === "list") body[input.name] = [...(body[input.name] ?? []), input.value];
    else if (kind === "number") body[input.name] = Number(input.value);
    else if (kind === "flag") body[input.name] = true;
    else if (input.value) body[input.name] = input.value;
  }
  return body;
}

export async function send(method, path, body) {
  const response = await fetch(path, {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await response.text();
  const told = text.startsWith("{") ? JSON.parse(text) : {};
  if (!response.ok) throw new Error(told.detail ?? "the camera did not answer as it should");
  return told;
}

function say(place, text) {
  const node = place.querySelector(".error") ?? place.closest("section, form")?.querySelector(".error");
  if (node) node.textContent = text ? `${text.charAt(0).toUpperCase()}${text.slice(1)}.` : "";
}

function go(then) {
  if (location.pathname + location.search === then) location.reload();
  else location.assign(then);
}

// A secret that is shown once: as text, and as the QR code that the camera drew.
function reveal(id, told) {
  const node = document.getElementById(id);
  node.hidden = false;
  node.querySelector("[data-secret]").textContent = told.secret;
  const drawn = new DOMParser().parseFromString(told.qr, "image/svg+xml").documentElement;
  node.querySelector("[data-qr]").replaceChildren(document.importNode(drawn, true));
  node.querySelector("input").focus();
}

async function submit(form) {
  const [method, path] = form.dataset.api.split(" ");
  const body = fields(form);
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  say(form, "");
  try {
    const told = await send(method, path, Object.keys(body).length ? body : undefined);
    if (form.dataset.shows) reveal(form.dataset.shows, told);
    else go(form.dataset.then);
  } catch (error) {
    const second = form.querySelector("[data-second]");
    if (second && error.message.includes("authenticator app")) {
      second.hidden = false;
      second.querySelector("input").focus();
    }
    say(form, error.message);
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("submit", (event) => {
  if ("native" in event.target.dataset) return;
  event.preventDefault();
  submit(event.target);
});

for (const button of document.querySelectorAll("[data-passkey]")) {
  button.addEventListener("click", async () => {
    say(button.parentElement, "");
    try {
      await (button.dataset.passkey === "add" ? addPasskey(document.getElementById("passkey-name").value) : logIn());
      go(button.dataset.then);
    } catch (error) {
      say(button.parentElement, error.message);
    }
  });
}
