import { useEffect, useRef, useState } from "react";
import type { Session } from "stepwire";
import { newId, uploadWithProgress } from "stepwire";
import { Icon } from "../../design/Icon";
import { bytes } from "../../app/words";

/**
 * What was uploaded already, so that a second try sends the same bytes no second time. A file is uploaded only when
 * it is sent: an uploaded file is visible on every page, and cannot be taken back.
 */
const uploaded = new WeakMap<File, { readonly session: Session; readonly id: string }>();

/** Uploads what is not uploaded yet; the ids of the elements. */
export async function upload(session: Session, files: readonly File[], onProgress: (file: File, sent: number) => void): Promise<string[]> {
  const ids = [];
  for (const file of files) {
    let known = uploaded.get(file);
    if (known?.session !== session) {
      known = { session, id: (await uploadWithProgress(session, file, (sent) => onProgress(file, sent))).id };
      uploaded.set(file, known);
    }
    ids.push(known.id);
  }
  return ids;
}

/** They may have been sent with something already: upload them again next time. */
export function forgetUploads(files: readonly File[]): void {
  for (const file of files) uploaded.delete(file);
}

/** Files that wait to be sent, each with a button that takes it away. */
export function Chips({ files, busy, sent, onRemove }: {
  readonly files: readonly File[];
  readonly busy: boolean;
  /** How much of the file is sent, from 0 to 1. */
  readonly sent?: { readonly file: File; readonly part: number } | null;
  readonly onRemove: (file: File) => void;
}) {
  const list = useRef<HTMLUListElement>(null);
  if (files.length === 0) return null;
  const remove = (file: File, at: number) => {
    onRemove(file);
    // The keyboard's focus stays among the files; where none is left, the caller has a better place.
    const buttons = list.current?.querySelectorAll("button");
    (buttons?.[at + 1] ?? buttons?.[at - 1])?.focus();
  };
  return (
    <ul className="talk-files" aria-label="Files to be sent" ref={list}>
      {files.map((file, at) => (
        <li key={keyOf(file)} className="chip talk-file">
          {file.type.startsWith("image/") ? <Preview file={file} /> : <Icon name="file" />}
          <span className="talk-file-name" dir="auto" title={file.name}>{file.name}</span>
          <span className="talk-file-size">{sent?.file === file && sent.part < 1 ? `${Math.round(sent.part * 100)} %` : bytes(file.size)}</span>
          <button type="button" className="button quiet icon-only" aria-label={`Remove ${file.name}`} disabled={busy} onClick={() => remove(file, at)}><Icon name="close" /></button>
        </li>
      ))}
    </ul>
  );
}

function Preview({ file }: { readonly file: File }) {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  // What is called a picture may be none.
  const [isBroken, setBroken] = useState(false);
  return url === null || isBroken ? <Icon name="file" /> : <img className="talk-file-preview" src={url} alt="" onError={() => setBroken(true)} />;
}

/** A button that opens the browser's file picker. */
export function PickButton({ label, children, accept = [], multiple = true, disabled = false, onFiles }: {
  readonly label: string;
  readonly children?: React.ReactNode;
  readonly accept?: readonly string[];
  readonly multiple?: boolean;
  readonly disabled?: boolean;
  readonly onFiles: (files: File[]) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" className={children ? "button" : "button quiet icon-only"} aria-label={children ? undefined : label} title={children ? undefined : label}
        disabled={disabled} onClick={() => input.current?.click()}>
        <Icon name="attach" />{children}
      </button>
      <input ref={input} type="file" hidden aria-label={label} accept={accept.join(",")} multiple={multiple} onChange={({ currentTarget }) => {
        const files = [...(currentTarget.files ?? [])];
        // Else the same file, chosen again after it was removed, would be no change.
        currentTarget.value = "";
        onFiles(files);
      }} />
    </>
  );
}

const keys = new WeakMap<File, string>();

/** Two files may have the same name. */
function keyOf(file: File): string {
  const key = keys.get(file) ?? newId();
  keys.set(file, key);
  return key;
}

/**
 * Files that are pasted. Office programs put a picture of what was copied beside its text, plain and formatted: then
 * the text is meant. (Beside files of a folder stand their names, plain alone.)
 */
export function pastedFiles(transfer: DataTransfer): File[] {
  const isText = transfer.getData("text/plain") !== "" && transfer.types.some((type) => type === "text/html" || type === "text/rtf");
  return isText ? [] : [...transfer.files];
}

/**
 * Takes files that are dropped anywhere on the page, on a question for files or for the next message. (Without it,
 * the browser would leave the page to show the file.)
 */
export function useDrops(onDrop: (files: File[], at: Element) => void): boolean {
  const [over, setOver] = useState(false);
  const drop = useRef(onDrop);
  drop.current = onDrop;
  useEffect(() => {
    const listening = new AbortController();
    const { signal } = listening;
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      event.dataTransfer!.dropEffect = "copy";
      setOver(true);
    }, { signal });
    // Between elements it fires too; with nothing to go to, the pointer has left the page.
    addEventListener("dragleave", ({ relatedTarget }) => relatedTarget === null && setOver(false), { signal });
    addEventListener("drop", (event) => {
      setOver(false);
      if (!carriesFiles(event)) return;
      event.preventDefault();
      drop.current([...event.dataTransfer!.files], event.target as Element);
    }, { signal });
    return () => listening.abort();
  }, []);
  return over;
}
