/** The gateway that has served this page, as all its parts ask it. */
import { Stepwire, viaSharedWorker } from "stepwire";
import { Choices } from "stepwire/choices";
import { Lists } from "stepwire/lists";
import { ROOT } from "./root";
import { currentToken } from "./token";

const options = { baseUrl: location.origin + ROOT.replace(/\/$/, ""), getToken: () => currentToken() };

// One stream for all tabs of a session: six streams would leave this browser no connection for anything else.
export const client = new Stepwire({ ...options, transport: viaSharedWorker() });
export const lists = new Lists({ ...options, transport: viaSharedWorker() });
export const choices = new Choices(options);

