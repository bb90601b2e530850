import { useEffect, useState } from "react";
import type { TaskList } from "stepwire/lists";
import { useConnection } from "stepwire/react";
import { lists } from "../app/gateway";
import { useTaskFormOpen } from "./form/TaskForm";

/** Workers come and go. */
const EVERY_MS = 30_000;

/** What the workers can be asked for; null while that is not known. */
export function useOffer(): TaskList | null {
  const [offer, setOffer] = useState<TaskList | null>(null);
  const { state } = useConnection();
  const [isFormOpen] = useTaskFormOpen();
  useEffect(() => {
    const leaving = new AbortController();
    const look = () => {
      if (document.hidden) return;
      // Without it there are no forms, and what is written is sent all the same.
      lists.tasks(leaving.signal).then(setOffer, () => {});
    };
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => {
      leaving.abort();
      clearInterval(timer);
    };
  }, [state === "live", isFormOpen]);
  return offer;
}
