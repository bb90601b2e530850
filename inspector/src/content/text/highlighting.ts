/** A chunk of its own: the grammars of the common languages. */
import type { ElementContent } from "hast";
import { common, createLowlight } from "lowlight";

const lowlight = createLowlight(common);

/** A piece of code and the kind that it is, as in `keyword`. */
export interface Piece {
  readonly text: string;
  readonly kind: string | undefined;
}

/** The code in pieces, line by line; null for a language that is not known. */
export function highlight(code: string, language: string): Piece[][] | null {
  if (!lowlight.registered(language)) return null;
  const lines: Piece[][] = [[]];
  const walk = (nodes: readonly ElementContent[], kind: string | undefined) => {
    for (const node of nodes) {
      if (node.type === "element") walk(node.children, kindOf(node.properties["className"]) ?? kind);
      if (node.type !== "text") continue;
      node.value.split("\n").forEach((text, at) => {
        if (at > 0) lines.push([]);
        if (text) lines.at(-1)!.push({ text, kind });
      });
    }
  };
  walk(lowlight.highlight(language, code).children as ElementContent[], undefined);
  return lines;
}

function kindOf(classes: unknown): string | undefined {
  const name = Array.isArray(classes) ? classes.find((word) => String(word).startsWith("hljs-")) : undefined;
  return name === undefined ? undefined : String(name);
}
