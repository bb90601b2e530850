/**
 * Files that a person has chosen and not sent yet. Like what is written, they outlive a reload in their tab: the
 * browser keeps copies of them (IndexedDB) until they are sent, taken away, or a day old. Where it keeps none, or
 * they are too large for that, the person is told, before a reload and after it.
 */
import { useCallback, useEffect, useRef } from "react";
import { newId, type Session } from "stepwire";
import { kept, ROOT } from "../../app/root";
import { useSession } from "../../app/session";
import { useKept } from "../kept";

const MOST_BYTES = 200_000_000;
const KEPT_MS = 24 * 3_600_000;
const NO_FILES: readonly File[] = [];
const TABLE = "chosen";

/** What is in the table. */
interface Kept {
  readonly at: number;
  readonly files: readonly File[];
}

/** What was chosen under a name, a function that sets it, and what the person must know about its keeping. */
export function useChosen(name: string): [readonly File[], (files: readonly File[]) => void, string] {
  const session = useSession();
  const [files, setFiles] = useKept<readonly File[] | null>(name, null);
  const [note, setNote] = useKept(`${name} note`, "");
  const latest = useRef(files);
  latest.current = files;
  useEffect(() => {
    if (files !== null) return;
    const place = placeOf(session, name);
    const names = namesAt(place);
    setFiles(NO_FILES);
    if (names.length === 0) return;
    void read(place).then((found) => {
      // The person was quicker.
      if (latest.current !== NO_FILES) return;
      setFiles(found);
      const lost = names.filter((one) => !found.some((file) => file.name === one));
      if (lost.length === 0) return;
      setNote(`Not kept while the page was loaded again: ${lost.join(", ")}. Choose ${lost.length === 1 ? "it" : "them"} once more.`);
      storedNames(place).set(null);
    });
  }, [session, name, files, setFiles, setNote]);
  const choose = useCallback((next: readonly File[]) => {
    setFiles(next);
    setNote("");
    const place = placeOf(session, name);
    storedNames(place).set(next.length === 0 ? null : JSON.stringify(next.map((file) => file.name)));
    void write(place, next).then((isKept) => !isKept && next.length > 0 && setNote("These files are not kept if the page is loaded again before they are sent."));
  }, [session, name, setFiles, setNote]);
  return [files ?? NO_FILES, choose, note];
}

const tab = kept("tab", "session");

/** Where the files of a session's box or question are, in this tab. */
function placeOf(session: Session, name: string): string {
  let id = tab.get();
  if (id === null) tab.set((id = newId()));
  return `${ROOT} ${id} ${session.id} ${name}`;
}

const storedNames = (place: string) => kept(`names ${place}`, "session");

function namesAt(place: string): readonly string[] {
  const names: unknown = JSON.parse(storedNames(place).get() ?? "[]");
  return Array.isArray(names) ? names.map(String) : [];
}

async function read(place: string): Promise<readonly File[]> {
  try {
    const found = await answered<Kept | undefined>((await table("readonly")).get(place));
    return found?.files ?? NO_FILES;
  } catch {
    return NO_FILES;
  }
}

/** Whether they are kept now. */
async function write(place: string, files: readonly File[]): Promise<boolean> {
  const isKept = files.length > 0 && files.reduce((sum, { size }) => sum + size, 0) <= MOST_BYTES;
  try {
    const store = await table("readwrite");
    await (isKept ? answered(store.put({ at: Date.now(), files } satisfies Kept, place)) : answered(store.delete(place)));
    return isKept;
  } catch {
    return false;
  }
}

/** Each opening forgets what nobody has come back for. */
function table(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  return new Promise((resolve, reject) => {
    const opening = indexedDB.open("stepwire", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(TABLE);
    opening.onerror = () => reject(opening.error);
    opening.onsuccess = () => {
      const store = opening.result.transaction(TABLE, mode).objectStore(TABLE);
      if (mode === "readwrite") forgetOld(store);
      resolve(store);
    };
  });
}

function forgetOld(store: IDBObjectStore): void {
  const walking = store.openCursor();
  walking.onsuccess = () => {
    const at = walking.result;
    if (!at) return;
    if ((at.value as Kept).at < Date.now() - KEPT_MS) at.delete();
    at.continue();
  };
}

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onerror = () => reject(request.error);
    request.onsuccess = () => resolve(request.result);
  });
}
