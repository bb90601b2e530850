// The store in Vue: a shallow ref for each key that a component shows. Nothing else is needed.
import { createApp, defineComponent, h, onScopeDispose, shallowRef } from "vue";
import { Stepwire, viaSharedWorker } from "stepwire";

const client = new Stepwire({
  baseUrl: new URLSearchParams(location.search).get("gateway"),
  transport: viaSharedWorker(() => new SharedWorker("/client/dist/shared-worker.js", { type: "module", name: "stepwire" })),
});
const session = (await client.create(location.hash.slice(1) || undefined)).open();
location.hash = session.id;

/** What `select` makes of the store, as a ref that is current. Selectors return the same object until it differs. */
function useStore(key, select) {
  const value = shallowRef(select(session.store));
  onScopeDispose(session.store.subscribe(key, () => (value.value = select(session.store))));
  return value;
}

const Line = defineComponent({
  props: ["id", "depth"],
  setup({ id, depth }) {
    const step = useStore(`step:${id}`, (store) => store.step(id));
    return () => step.value && h("p", { style: { paddingLeft: `${depth}em` } }, `${step.value.name}: ${step.value.output}`);
  },
});

const Chat = defineComponent(() => {
  const rows = useStore("rows", (store) => store.rows());
  const connection = useStore("connection", (store) => store.connection());
  const text = shallowRef("");
  const send = (event) => {
    event.preventDefault();
    // A message that cannot be sent stays in the rows, with its error in `store.pending(id)`.
    session.send(text.value).catch(() => {});
    text.value = "";
  };
  return () => [
    h("output", connection.value.state),
    rows.value.filter(({ kind }) => kind === "step").map(({ id, depth }) => h(Line, { key: id, id, depth })),
    h("form", { onSubmit: send }, [
      h("input", { "aria-label": "Message", value: text.value, onInput: ({ target }) => (text.value = target.value) }),
      h("button", "Send"),
    ]),
  ];
});

createApp(Chat).mount("#root");
