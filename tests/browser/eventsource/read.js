// Reads a stream with the npm package `eventsource`; writes one line of JSON for every event.
import { EventSource } from "eventsource";

const [url, ...types] = process.argv.slice(2);
const source = new EventSource(url);
for (const type of types) {
  source.addEventListener(type, ({ lastEventId }) => console.log(JSON.stringify([lastEventId, type])));
}
