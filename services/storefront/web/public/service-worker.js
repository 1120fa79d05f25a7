// Lets the shop's pages open without a connection, so that a ticket can be shown at the door. It keeps files of the pages only;
// tickets are kept by kept-tickets.ts, and thrown away with the session.
// Written by the build: its name, and the files that a ticket needs.
const build = { id: "unbuilt", files: [] };
const kept = `onsale.pages.${build.id}`;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(kept);
      await cache.addAll(["/", "/installation.json", "/icon.svg", ...build.files]);
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys())
        if (name.startsWith("onsale.pages.") && name !== kept) await caches.delete(name);
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || /^\/(v1|docs|\.well-known)\//.test(url.pathname))
    return;
  // A hashed file never changes; everything else comes from the network while there is one.
  if (url.pathname.startsWith("/assets/")) event.respondWith(keptFirst(request));
  else event.respondWith(networkFirst(request));
});

async function keptFirst(request) {
  const cache = await caches.open(kept);
  const known = await cache.match(request);
  if (known) return known;
  const response = await fetch(request);
  if (response.ok) await cache.put(request, response.clone());
  return response;
}

async function networkFirst(request) {
  const cache = await caches.open(kept);
  const name = request.mode === "navigate" ? "/" : request;
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(name, response.clone());
    return response;
  } catch (error) {
    const known = await cache.match(name);
    if (known) return known;
    throw error;
  }
}
