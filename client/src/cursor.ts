/** How an event's id stands to the last one: the ids of a session's stream are dense. */
export type Following = "next" | "again" | "gap";

/** What `id` is after `last`: `<epoch>-<seq>` both; `last` is empty before the first event. */
export function following(last: string, id: string): Following {
  const [epoch, seq] = id.split("-");
  const [lastEpoch, lastSeq] = last.split("-");
  if (!last) return "next";
  if (epoch !== lastEpoch) return "gap";
  const step = Number(seq) - Number(lastSeq);
  if (step <= 0) return "again";
  return step === 1 ? "next" : "gap";
}
