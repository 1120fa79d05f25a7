// Preloaded into every process of ours (node --import): lets SIGTERM and SIGINT end it while it is still loading. As process 1 of a
// container it would ignore them: the kernel gives process 1 no default action, and the service's own handlers come later.
for (const [signal, code] of [
  ["SIGTERM", 143],
  ["SIGINT", 130],
])
  process.on(signal, () => {
    if (process.listenerCount(signal) === 1) process.exit(code);
  });
