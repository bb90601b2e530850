import { Http, type HttpOptions } from "./http.js";
import { newId } from "./ids.js";
import type { AcceptedRun, ChangedSettings, CreatedSession, JsonValue, NewSession, NewSettings, StartPage, StepElement } from "./vocabulary.js";

export type { ChangedSettings, ChatProfileDocument, StartPage, StarterCategoryDocument, StarterDocument } from "./vocabulary.js";

/** What all inputs of a form of settings have. */
interface InputBase {
  readonly id: string;
  readonly label: string;
  readonly tooltip: string | null;
  readonly description: string | null;
  readonly disabled: boolean;
}

/** One of the options of an input. */
export interface Item {
  readonly label: string;
  readonly value: string;
}

export interface SwitchInput extends InputBase {
  readonly type: "switch" | "checkbox";
  readonly initial: boolean;
}

export interface SliderInput extends InputBase {
  readonly type: "slider";
  readonly initial: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

export interface NumberInput extends InputBase {
  readonly type: "numberinput";
  readonly initial: number | null;
  readonly placeholder: string | null;
}

export interface TextInput extends InputBase {
  readonly type: "textinput";
  readonly initial: string | null;
  readonly placeholder: string | null;
  readonly multiline: boolean;
}

export interface SelectInput extends InputBase {
  readonly type: "select" | "radio";
  readonly initial: string | null;
  readonly items: readonly Item[];
}

export interface MultiSelectInput extends InputBase {
  readonly type: "multiselect";
  readonly initial: readonly string[];
  readonly items: readonly Item[];
}

export interface TagsInput extends InputBase {
  readonly type: "tags";
  readonly initial: readonly string[];
  /** Suggestions. */
  readonly values: readonly string[];
}

export interface DateInput extends InputBase {
  readonly type: "datepicker";
  readonly mode: "single" | "range";
  readonly initial: string | readonly string[] | null;
  readonly min_date: string | null;
  readonly max_date: string | null;
  readonly format: string | null;
  readonly placeholder: string | null;
}

/** A newer gateway may have other types: show such an input, and send no value for it. */
export type Input = SwitchInput | SliderInput | NumberInput | TextInput | SelectInput | MultiSelectInput | TagsInput | DateInput;

/** Inputs that stand together. */
export interface Tab {
  readonly id: string;
  readonly label: string;
  readonly inputs: readonly Input[];
}

export type Values = Readonly<Record<string, JsonValue>>;

/** The settings of a session, as its form shows them. */
export interface SettingsForm {
  readonly inputs: readonly (Input | Tab)[];
  readonly values: Values;
}

export interface Sidebar {
  readonly title: string | null;
  readonly key: string | null;
  readonly elements: readonly StepElement[];
}

export interface StartQuery {
  /** By default the default profile. */
  readonly chatProfile?: string | undefined;
  /** A tag, as `en-GB`; by default what the browser says. */
  readonly language?: string | undefined;
}

/** What people choose: a chat profile and a question to begin with, and the settings of a session. */
export class Choices {
  readonly #http: Http;

  constructor(options: HttpOptions = {}) {
    this.#http = new Http(options);
  }

  /** The start page, which is shown before a session begins. `no_worker`: no worker has answered, ask again later. */
  startPage({ chatProfile, language }: StartQuery = {}, signal?: AbortSignal): Promise<StartPage> {
    const given = Object.entries({ chat_profile: chatProfile, language }).filter((pair): pair is [string, string] => pair[1] !== undefined);
    const query = new URLSearchParams(given).toString();
    return this.#http.json("GET", query ? `/v1/start?${query}` : "/v1/start", undefined, signal);
  }

  /** A new session with a chat profile; its id, for `Stepwire.session`. */
  async createSession(chatProfile: string, id = newId()): Promise<string> {
    const body: NewSession = { id, chat_profile: chatProfile };
    return (await this.#http.json<CreatedSession>("POST", "/v1/sessions", body)).session_id;
  }

  /**
   * Changes some of the values, for all to see.
   *
   * @throws {StepwireError} `invalid_request` if one does not fit: `problem.errors` says which, and why
   */
  changeSettings(sessionId: string, values: Values, id = newId()): Promise<ChangedSettings> {
    return this.#http.json("PUT", path(sessionId), { values, id } satisfies NewSettings);
  }

  /** Tells `@cl.on_settings_edit` what the person is about to choose; nothing is stored. */
  editSettings(sessionId: string, values: Values, id = newId()): Promise<AcceptedRun> {
    return this.#http.json("POST", `${path(sessionId)}/edit`, { values, id } satisfies NewSettings);
  }
}

function path(sessionId: string): string {
  return `/v1/sessions/${encodeURIComponent(sessionId)}/settings`;
}

/** The form among the elements of no step, `store.elements(null)`; null: the session has none. */
export function settingsOf(elements: readonly StepElement[]): SettingsForm | null {
  return (beside(elements, "settings")?.props as unknown as SettingsForm | undefined) ?? null;
}

/** The name of the session's profile, from `store.elements(null)`; null: it has none. */
export function chatProfileOf(elements: readonly StepElement[]): string | null {
  return beside(elements, "chat_profile")?.name ?? null;
}

/** What the sidebar shows; null: it is closed. `elements` are all of the session, or those that may be in it. */
export function sidebarOf(elements: readonly StepElement[]): Sidebar | null {
  const props = beside(elements, "sidebar")?.props as { title?: string | null; key?: string | null; elements?: readonly string[] } | undefined;
  if (!props) return null;
  const known = new Map(elements.map((element) => [element.id, element]));
  const shown = (props.elements ?? []).flatMap((id) => known.get(id) ?? []);
  return { title: props.title ?? null, key: props.key ?? null, elements: shown };
}

function beside(elements: readonly StepElement[], type: string): StepElement | undefined {
  return elements.find((element) => element.type === type && element.step_id === null);
}
