export interface ContentProps {
  readonly text: string;
  /** The step's own word for what the text is: "markdown", or a language of code; null for plain text, which may be Markdown in a message. */
  readonly language?: string | null;
  /** A message of the conversation: Markdown unless `language` says another thing. */
  readonly message?: boolean;
  /** It may still grow. */
  readonly streaming?: boolean;
}

/** A text as it is meant: prose, Markdown, code, LaTeX. */
export function Content({ text }: ContentProps) {
  return <pre className="content-text">{text}</pre>;
}
