// Passkeys (WebAuthn): what the camera asks, and what the browser answers, as JSON.

import { send } from "./forms.js";

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

function require() {
  if (!window.PublicKeyCredential) throw new Error("this browser has no passkeys here: they need HTTPS and a host name");
}

function known(list) {
  return (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
}

export async function logIn() {
  require();
  const asked = await send("POST", "/api/v1/session/passkey/options");
  const publicKey = { ...asked, challenge: bytes(asked.challenge), allowCredentials: known(asked.allowCredentials) };
  const made = await navigator.credentials.get({ publicKey });
  const { authenticatorData, clientDataJSON, signature, userHandle } = made.response;
  await send("POST", "/api/v1/session/passkey", {
    id: made.id,
    rawId: text(made.rawId),
    type: made.type,
    response: {
      authenticatorData: text(authenticatorData),
      clientDataJSON: text(clientDataJSON),
      signature: text(signature),
      userHandle: userHandle ? text(userHandle) : null,
    },
  });
}

export async function addPasskey(name) {
  require();
  const asked = await send("POST", "/api/v1/me/passkeys/options");
  const publicKey = {
    ...asked,
    challenge: bytes(asked.challenge),
    user: { ...asked.user, id: bytes(asked.user.id) },
    excludeCredentials: known(asked.excludeCredentials),
  };
  const made = await navigator.credentials.create({ publicKey });
  const { attestationObject, clientDataJSON } = made.response;
  await send("POST", "/api/v1/me/passkeys", {
    name,
    credential: {
      id: made.id,
      rawId: text(made.rawId),
      type: made.type,
      response: { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON) },
    },
  });
}
