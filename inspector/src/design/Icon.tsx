/** Drawn in outline on 16 by 16: `.icon` gives stroke and fill. */
const DRAWINGS = {
  user_message: <><circle cx="8" cy="5.2" r="2.7" /><path d="M2.8 13.5c.6-2.6 2.6-4 5.2-4s4.6 1.4 5.2 4" /></>,
  assistant_message: <path d="M8 1.8 9.5 6.5 14.2 8 9.5 9.5 8 14.2 6.5 9.5 1.8 8 6.5 6.5z" />,
  llm: <path d="M7 2 8.2 5.8 12 7 8.2 8.2 7 12 5.8 8.2 2 7 5.8 5.8zM12.5 10.5v3.5M10.75 12.25h3.5" />,
  tool: <path d="M9.7 4.2a.7.7 0 0 0 0 1l1.1 1.1a.7.7 0 0 0 1 0l2.4-2.4a4 4 0 0 1-5.3 5.3l-4.5 4.5a1.4 1.4 0 0 1-2.1-2.1l4.5-4.5a4 4 0 0 1 5.3-5.3z" />,
  retrieval: <><circle cx="7" cy="7" r="4.5" /><path d="m10.4 10.4 3.4 3.4" /></>,
  rerank: <path d="M4.5 2.5v11m-2.5-2.5 2.5 2.5L7 11M9.5 3.5H14M9.5 7.5h3M9.5 11.5h1.5" />,
  embedding: <><circle cx="4" cy="4" r="1.6" /><circle cx="12" cy="4" r="1.6" /><circle cx="4" cy="12" r="1.6" /><circle cx="12" cy="12" r="1.6" /><path d="M5.6 4h4.8M4 5.6v4.8M12 5.6v4.8M5.6 12h4.8M5.2 5.2l5.6 5.6" /></>,
  run: <path d="M5 3.2v9.6L12.5 8z" />,
  undefined: <rect x="3" y="3" width="10" height="10" rx="2.5" />,
  running: <><circle cx="8" cy="8" r="5.5" strokeOpacity=".25" /><path d="M8 2.5A5.5 5.5 0 0 1 13.5 8" /></>,
  ok: <path d="m3.5 8.5 3 3 6-7" />,
  error: <path d="m4 4 8 8M12 4l-8 8" />,
  cancelled: <><circle cx="8" cy="8" r="5.5" /><path d="m4.2 4.2 7.6 7.6" /></>,
  interrupted: <path d="M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z" />,
  clock: <><circle cx="8" cy="8" r="5.5" /><path d="M8 4.8V8l2.2 1.6" /></>,
  ask: <><circle cx="8" cy="8" r="5.8" /><path d="M6.3 6.4a1.75 1.75 0 1 1 2.6 1.5c-.6.35-.9.7-.9 1.3M8 11.2v.05" /></>,
  attach: <path d="m13.2 7.4-5.4 5.4a3.2 3.2 0 0 1-4.5-4.5l5.6-5.6a2.1 2.1 0 0 1 3 3l-5.5 5.5a1 1 0 0 1-1.5-1.5l5-5" />,
  file: <path d="M4.5 2h4.6L12.5 5.4V13a1 1 0 0 1-1 1h-7a1 1 0 0 1-1-1V3a1 1 0 0 1 1-1zM9 2.2v3.3h3.3" />,
  good: <path d="M5 7.2 7.6 2.4a1.4 1.4 0 0 1 1.6 1.7L8.8 6.4h3.5a1.2 1.2 0 0 1 1.2 1.5l-1 4.4a1.3 1.3 0 0 1-1.3 1H5zM5 7.2H2.6v6.1H5" />,
  poor: <path transform="rotate(180 8 8)" d="M5 7.2 7.6 2.4a1.4 1.4 0 0 1 1.6 1.7L8.8 6.4h3.5a1.2 1.2 0 0 1 1.2 1.5l-1 4.4a1.3 1.3 0 0 1-1.3 1H5zM5 7.2H2.6v6.1H5" />,
  copy: <><rect x="5.5" y="5.5" width="8" height="8" rx="2" /><path d="M10.5 3.5a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1" /></>,
  more: <path d="M3.5 8v.01M8 8v.01M12.5 8v.01" strokeWidth="2.2" />,
  open: <path d="m6 3.5 4.5 4.5L6 12.5" />,
  close: <path d="m4 4 8 8M12 4l-8 8" />,
  up: <path d="m3.5 10 4.5-4.5 4.5 4.5" />,
  down: <path d="m3.5 6 4.5 4.5L12.5 6" />,
  search: <><circle cx="7" cy="7" r="4.5" /><path d="m10.4 10.4 3.4 3.4" /></>,
  filter: <path d="M2.5 3.5h11L9.5 8.5v4l-3-1.5V8.5z" />,
  link: <path d="M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2-2a2.6 2.6 0 0 0-3.7-3.7l-.9.9M9.2 6.8a2.6 2.6 0 0 0-3.7 0l-2 2a2.6 2.6 0 0 0 3.7 3.7l.9-.9" />,
  download: <path d="M8 2.5v7.5m-3-3 3 3 3-3M3 13h10" />,
  stop: <rect x="4" y="4" width="8" height="8" rx="1.5" />,
  again: <path d="M13 8a5 5 0 1 1-1.6-3.7M13 2.5v3h-3" />,
  sessions: <path d="M2.5 4h11M2.5 8h11M2.5 12h7" />,
  bell: <path d="M4 11V7.2a4 4 0 0 1 8 0V11l1.2 1.5H2.8zM6.8 14.2h2.4" />,
  sun: <><circle cx="8" cy="8" r="2.8" /><path d="M8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M12.4 3.6l-1 1M4.6 11.4l-1 1" /></>,
} as const;

export type IconName = keyof typeof DRAWINGS;

/** A drawing beside words that say the same; where there are none, the control around it has a label. */
export function Icon({ name, turning = false }: { readonly name: IconName; readonly turning?: boolean }) {
  return (
    <svg className={turning ? "icon turning" : "icon"} viewBox="0 0 16 16" aria-hidden="true">
      {DRAWINGS[name]}
    </svg>
  );
}

/** The drawing for a step's type, or for a status; a plain box for any other word. */
export function iconOf(word: string): IconName {
  return word in DRAWINGS ? (word as IconName) : "undefined";
}
