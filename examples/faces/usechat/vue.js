// The same in Vue: the Chat of @ai-sdk/vue as it comes.
import { Chat } from "@ai-sdk/vue";
import { createApp, ref } from "vue";
import { answer, cancel, depth, options } from "./chat.js";

const { resume, ...of } = await options();
const chat = new Chat(of);
if (resume) chat.resumeStream();

createApp({
  setup() {
    const message = ref(""), reply = ref("");
    const send = () => { chat.sendMessage({ text: message.value }); message.value = ""; };
    const halt = () => { cancel(); chat.stop(); };
    const tell = (ask) => { answer(ask, reply.value); reply.value = ""; };
    return { chat, depth, message, reply, send, halt, tell };
  },
  template: `
    <div v-for="{ id, role, parts } in chat.messages" :key="id" :data-role="role">
      <b>{{ role }}</b>&nbsp;
      <template v-for="part in parts">
        <span v-if="part.type === 'text'" class="text">{{ part.text }}</span>
        <p v-else-if="part.type === 'dynamic-tool'" class="tool">{{ part.toolName }}: {{ part.output ?? part.errorText ?? "…" }}</p>
        <p v-else-if="part.type === 'data-step' && !part.data.removed" class="step" :style="{ paddingLeft: depth(part.data, parts) + 'em' }">{{ part.data.name }} {{ part.data.status }}</p>
        <form v-else-if="part.type === 'data-ask' && part.data.status === 'open'" @submit.prevent="tell(part.data)">
          <input aria-label="Answer" v-model="reply"> <button>Answer</button>
        </form>
        <p v-else-if="part.type === 'file'"><a :href="part.url">{{ part.mediaType }}</a></p>
      </template>
    </div>
    <p id="status">{{ chat.status }}</p>
    <p v-if="chat.error" role="alert">{{ chat.error.message }}</p>
    <form @submit.prevent="send"><input aria-label="Message" v-model="message"> <button>Send</button></form>
    <button @click="halt">Stop</button> <button @click="chat.regenerate()">Again</button>`,
}).mount("#root");
