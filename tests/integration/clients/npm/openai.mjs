// The stock `openai` npm client against a gateway: `node openai.mjs BASE_URL`. Prints what it saw as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const ask = {
  model: "support-reply",
  user: "npm-user",
  messages: [{ role: "user", content: "Where is order A-1007?" }],
  trimtab: { variables: { shop: "Acme" } },
};
const seen = {};

const { data, response } = await client.chat.completions.create(ask).withResponse();
seen.answer = data.choices[0].message.content;
seen.release = response.headers.get("x-trimtab-release");
seen.generation = response.headers.get("x-trimtab-generation");

seen.streamed = "";
for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
  seen.streamed += chunk.choices[0].delta.content ?? "";
}

const runner = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
seen.assembled = (await runner.finalChatCompletion()).choices[0].message.content;
seen.usage = (await runner.totalUsage()).completion_tokens;

seen.models = [];
for await (const model of client.models.list()) seen.models.push(model.id);

const vectors = await client.embeddings.create({ model: "search", input: ["one", "two"] });
seen.dimensions = vectors.data.map((item) => item.embedding.length);

try {
  await client.chat.completions.create({ ...ask, temperature: 1 });
} catch (error) {
  seen.pinned = [error.constructor.name, error.status, error.code, error.param];
}
try {
  await client.chat.completions.create({ ...ask, model: "support-replay" });
} catch (error) {
  seen.unknown = [error.constructor.name, error.status, error.code, error.param];
}

const controller = new AbortController();
try {
  const stream = await client.chat.completions.create({ ...ask, stream: true }, { signal: controller.signal });
  for await (const _ of stream) controller.abort();
  seen.aborted = controller.signal.aborted;
} catch (error) {
  seen.aborted = error.constructor.name;
}

console.log(JSON.stringify(seen));
