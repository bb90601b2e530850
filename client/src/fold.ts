import { Documents, type StreamEvent } from "./documents.js";
import type { Snapshot } from "./vocabulary.js";

/** A session of which nothing is known yet. */
export const EMPTY: Snapshot = /* @__PURE__ */ new Documents().snapshot({});

/**
 * Returns the session after one more event. Neither argument is changed; documents and lists in which
 * nothing has changed are the same objects in the result. An event that was there before changes
 * nothing, one of a type that is not known only the cursor.
 *
 * It costs time in proportion to the session. For many events use {@link replay}, or a store.
 */
export function fold(state: Snapshot, event: StreamEvent): Snapshot {
  return replay(state, [event]);
}

/** Returns the session after these events, as {@link fold} does for one. */
export function replay(state: Snapshot, events: Iterable<StreamEvent>): Snapshot {
  const documents = new Documents();
  documents.take({ id: state.cursor, type: "snapshot", data: state });
  let changed = false;
  for (const event of events) changed = documents.take(event) !== "again" || changed;
  return changed ? documents.snapshot(state) : state;
}
