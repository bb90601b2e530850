/** Work that may wait: done in short slices, so that the page answers between them. */
type Job = () => void | Promise<() => void>;

const SLICE_MS = 8;
const waiting = new Set<Job>();
let running = false;

/** Does it soon; a job that must load something first returns what is to be done then. @returns takes it back */
export function inSlices(job: Job): () => void {
  let isWanted = true;
  const guarded: Job = () => {
    const then = isWanted ? job() : undefined;
    if (then) void then.then((next) => add(() => (isWanted ? next() : undefined)));
  };
  add(guarded);
  return () => {
    isWanted = false;
    waiting.delete(guarded);
  };
}

function add(job: Job): void {
  waiting.add(job);
  if (running) return;
  running = true;
  later(work);
}

function work(): void {
  const end = performance.now() + SLICE_MS;
  for (const job of waiting) {
    waiting.delete(job);
    void job();
    if (performance.now() > end) break;
  }
  if (waiting.size > 0) later(work);
  else running = false;
}

/** After what the browser has to do: a promise would be before that. */
function later(work: () => void): void {
  setTimeout(work, 0);
}
